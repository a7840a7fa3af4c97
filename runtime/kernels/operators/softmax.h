/* The functions of softmax.c. */
#ifndef TIDE_SOFTMAX_H
#define TIDE_SOFTMAX_H

#include "../src/functions.h"

static inline void frame_softmax(const float *x, size_t n, float *out) {
  const float most = tide_max(x, n);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_exp(tide_flush(x[i]) - most));
  const float total = tide_sum(out, n);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(out[i] / total);
}

static inline void frame_log_softmax(const float *x, size_t n, float *out) {
  const float most = tide_max(x, n);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_exp(tide_flush(x[i]) - most));
  const float total = tide_log(tide_sum(out, n));
  for (size_t i = 0; i < n; i++) out[i] = tide_flush((tide_flush(x[i]) - most) - total);
}

/* Every function; a plan's function numbers count from 1 in this order. */
#define SOFTMAX_FUNCTIONS(F) \
  F(softmax)                 \
  F(log_softmax)

enum {
#define F(name) SOFTMAX_##name,
  SOFTMAX_FUNCTIONS(F)
#undef F
      SOFTMAX_COUNT
};

#endif
