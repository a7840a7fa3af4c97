/* Sums and extremes over all features of a frame. */
#ifndef TIDE_OVER_FEATURES_H
#define TIDE_OVER_FEATURES_H

#include "functions.h"

/* A sum is made in 8 interleaved lanes, each in ascending order; then the lanes are folded by halves. Vectors of any
 * machine can do the same. Written as two vectors of four: gcc 12 by itself transposes for AVX-512 (192 values take 50
 * ns, this way 25). */
enum { SUM_LANES = 8, HALF = SUM_LANES / 2 };
typedef float tide_half __attribute__((vector_size(HALF * sizeof(float))));

static inline tide_half tide_flush_half(const float *x) {
  typedef int32_t bits __attribute__((vector_size(sizeof(tide_half))));
  bits v;
  memcpy(&v, x, sizeof v);
  const bits kept = (tide_half)(v & INT32_MAX) >= 0x1p-60f; /* all ones or all zeros */
  return (tide_half)(v & kept);
}

static inline float tide_fold(float *lanes) {
  for (int half = SUM_LANES / 2; half; half /= 2) {
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

static TIDE_APART float tide_sum(const float *x, size_t count) {
  tide_half low = {0}, high = {0};
  size_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES) {
    low += tide_flush_half(x + i);
    high += tide_flush_half(x + i + HALF);
  }
  float lanes[SUM_LANES];
  memcpy(lanes, &low, sizeof low);
  memcpy(lanes + HALF, &high, sizeof high);
  for (size_t k = 0; i + k < count; k++) lanes[k] += tide_flush(x[i + k]);
  return tide_fold(lanes);
}

static TIDE_APART float tide_sum_square(const float *x, size_t count) {
  tide_half low = {0}, high = {0};
  size_t i = 0;
  for (; i + SUM_LANES <= count; i += SUM_LANES) {
    const tide_half a = tide_flush_half(x + i), b = tide_flush_half(x + i + HALF);
    low += a * a;
    high += b * b;
  }
  float lanes[SUM_LANES];
  memcpy(lanes, &low, sizeof low);
  memcpy(lanes + HALF, &high, sizeof high);
  for (size_t k = 0; i + k < count; k++) lanes[k] += tide_flush(x[i + k]) * tide_flush(x[i + k]);
  return tide_fold(lanes);
}

/* A float's bits as an integer of the same order, and back. Compilers find the largest of integers with vectors, of
 * floats one by one (118 ns for 192 values, this way 13). Tiny values become +0 first, so no value is -0; and none is
 * NaN. */
static inline int32_t tide_in_order(int32_t bits) { return bits < 0 ? bits ^ INT32_MAX : bits; }

static inline int32_t tide_rank(float x) {
  int32_t bits;
  x = tide_flush(x);
  memcpy(&bits, &x, sizeof bits);
  return tide_in_order(bits);
}

static inline float tide_ranked(int32_t rank) {
  const int32_t bits = tide_in_order(rank);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static TIDE_APART float tide_max(const float *x, size_t count) {
  int32_t most = INT32_MIN;
  for (size_t i = 0; i < count; i++) most = tide_rank(x[i]) > most ? tide_rank(x[i]) : most;
  return tide_ranked(most);
}

static TIDE_APART float tide_min(const float *x, size_t count) {
  int32_t least = INT32_MAX;
  for (size_t i = 0; i < count; i++) least = tide_rank(x[i]) < least ? tide_rank(x[i]) : least;
  return tide_ranked(least);
}

#endif
