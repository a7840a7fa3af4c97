/* The arithmetic of layer_norm.c. */
#ifndef TIDE_LAYER_NORM_H
#define TIDE_LAYER_NORM_H

#include "../src/functions.h"

static inline void frame_layer_norm(const float *x, size_t n, const float *scale, const float *bias, float epsilon,
                                    float *out) {
  const float mean = tide_sum(x, n) / (float)n;
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_flush(x[i]) - mean);
  const float variance = tide_flush(tide_sum_square(out, n) / (float)n);
  const float deviation = tide_sqrt(variance + epsilon);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_flush(out[i] / deviation) * scale[i] + bias[i]);
}

#endif
