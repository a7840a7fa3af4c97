/* The arithmetic of layer_norm.c. */
#ifndef TIDE_LAYER_NORM_H
#define TIDE_LAYER_NORM_H

#include "../src/loops.h"
#include "../src/over_features.h"

static inline void frame_layer_norm(const float *in, size_t n, const float *scale, const float *bias, float epsilon,
                                    float *out) {
  const float mean = tide_sum(in, n) / (float)n;
  TIDE_EACH(out, n, x, in, tide_flush(tide_flush(x) - mean))
  const float variance = tide_flush(tide_sum_square(out, n) / (float)n);
  const float deviation = tide_sqrt(variance + epsilon);
  TIDE_EACH_TWO(out, n, x, out, 1, s, scale, 1, tide_flush(x / deviation) * s)
  TIDE_EACH_TWO(out, n, x, out, 1, b, bias, 1, tide_flush(x + b))
}

#endif
