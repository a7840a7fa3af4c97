/* The functions of softmax.c. */
#ifndef TIDE_SOFTMAX_H
#define TIDE_SOFTMAX_H

#include "../src/loops.h"
#include "../src/over_features.h"

/* Writes exp(in - most) to `out`; returns the sum. */
static inline float exponentials(const float *in, size_t n, float most, float *out) {
  TIDE_EACH(out, n, x, in, tide_flush(tide_exp(tide_flush(x) - most)))
  return tide_sum(out, n);
}

static inline void frame_softmax(const float *in, size_t n, float *out) {
  const float total = exponentials(in, n, tide_max(in, n), out);
  TIDE_EACH(out, n, x, out, tide_flush(x / total))
}

static inline void frame_log_softmax(const float *in, size_t n, float *out) {
  const float most = tide_max(in, n), total = tide_log(exponentials(in, n, most, out));
  TIDE_EACH(out, n, x, in, tide_flush((tide_flush(x) - most) - total))
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
