/* Loops over floats, run by run: a run is as many values as a vector of the variant has. */
#ifndef TIDE_LOOPS_H
#define TIDE_LOOPS_H

#include <stddef.h>
#include <string.h>

#include "target.h"

/* Values that loops take at once: a vector if the variant has vectors. The last run is padded with zeros, because the
 * code that compilers make for the rest of a loop is larger than the loop (72 KB for all operators in avx512_vnni, this
 * way 33). */
#ifdef LANES
enum { RUN = LANES };
#else
enum { RUN = 1 };
#endif

/* The last values, padded with zeros; with a step of 0 the first value repeated. Not inlined, or each loop would have a
 * copy. */
static TIDE_APART void tide_load_part(float *run, const float *from, size_t step, size_t left) {
  for (size_t k = 0; k < RUN; k++) run[k] = k < left ? from[k * step] : 0.0f;
}

static TIDE_APART void tide_store_part(float *to, const float *run, size_t left) {
  memcpy(to, run, left * sizeof *run);
}

static inline void tide_load_run(float *run, const float *from, size_t step, size_t left) {
  if (step && left >= RUN) memcpy(run, from, RUN * sizeof *run);
  else tide_load_part(run, from, step, left);
}

static inline void tide_store_run(float *to, const float *run, size_t left) {
  if (left >= RUN) memcpy(to, run, RUN * sizeof *run);
  else tide_store_part(to, run, left);
}

/* out[i] = value, an expression of x = in[i]. */
#define TIDE_EACH(out, count, x, in, value)                    \
  for (size_t at = 0; at < (count); at += RUN) {               \
    float xs[RUN], results[RUN];                               \
    tide_load_run(xs, (in) + at, 1, (count) - at);             \
    _Pragma("GCC unroll 1") for (size_t k = 0; k < RUN; k++) { \
      const float x = xs[k];                                   \
      results[k] = value;                                      \
    }                                                          \
    tide_store_run((out) + at, results, (count) - at);         \
  }

/* out[i] = value, an expression of x = one[i * x_step] and y = two[i * y_step], steps 0 or 1. */
#define TIDE_EACH_TWO(out, count, x, one, x_step, y, two, y_step, value) \
  for (size_t at = 0; at < (count); at += RUN) {                         \
    float xs[RUN], ys[RUN], results[RUN];                                \
    tide_load_run(xs, (one) + at * (x_step), x_step, (count) - at);      \
    tide_load_run(ys, (two) + at * (y_step), y_step, (count) - at);      \
    _Pragma("GCC unroll 1") for (size_t k = 0; k < RUN; k++) {           \
      const float x = xs[k], y = ys[k];                                  \
      results[k] = value;                                                \
    }                                                                    \
    tide_store_run((out) + at, results, (count) - at);                   \
  }

#endif
