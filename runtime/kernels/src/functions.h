/* Functions of one float, every operation rounded: runtime/operators/numbers/functions.py in C, the same bits.
 *
 * Scalar and without branches where it can be, so that compilers vectorize the loops around them, in floats.inc for
 * each variant; the steps of recurrent layers have vectors of their own in step.inc. */
#ifndef TIDE_FUNCTIONS_H
#define TIDE_FUNCTIONS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tanh.h"
#include "target.h"

/* Where floats are computed as doubles the bits differ; gcc for s390x does so under -std=c11, not under gnu11. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16 /* 16: halves alone */
#error "tidegate: this compiler does not round floats to 32 bits after each operation"
#endif

/* Values below 2^-60 become +0 before and after a float operation; NaN stays, for the range check to find. */
static inline float tide_flush(float x) { return fabsf(x) < 0x1p-60f ? 0.0f : x; }

static inline float tide_clamp(float x, float least, float most) { return x > most ? most : x < least ? least : x; }

static inline float tide_tanh(float x) {
  const float u = tide_clamp(x * TANH_UNIT, -TANH_LIMIT, TANH_LIMIT), s = u * u;
  const float p = (((s + TANH_P[3]) * s + TANH_P[2]) * s + TANH_P[1]) * s + TANH_P[0];
  const float q = (((s + TANH_Q[3]) * s + TANH_Q[2]) * s + TANH_Q[1]) * s + TANH_Q[0];
  return tide_clamp(u * p / q, -1.0f, 1.0f);
}

static inline float tide_sigmoid(float x) { return 0.5f * tide_tanh(0.5f * x) + 0.5f; }

#define LN2_HIGH 0x1.63p-1f
#define LN2_LOW -0x1.bd0106p-13f

static inline float tide_exp(float x) {
  x = tide_clamp(x, -42.0f, 45.0f);
  const float k = (x * 0x1.715476p+0f + 0x1.8p23f) - 0x1.8p23f; /* to the nearest whole number, ties to even */
  const float r = (x - k * LN2_HIGH) - k * LN2_LOW;
  float y = 0x1.a0d2cep-13f;
  y = y * r + 0x1.6e879cp-10f;
  y = y * r + 0x1.11121p-7f;
  y = y * r + 0x1.555382p-5f;
  y = y * r + 0x1.555554p-3f;
  y = y * r + 0x1p-1f;
  const uint32_t bits = (uint32_t)((int32_t)k + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return ((y * (r * r) + r) + 1.0f) * power;
}

static inline float tide_log(float x) {
  if (!(x > 0.0f)) return NAN;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t above = bits - 0x3f3504f3u; /* the bits of sqrt(1/2) */
  const int32_t exponent = (int32_t)(above >> 23) - (above >> 31 ? 512 : 0);
  bits -= (uint32_t)exponent << 23;
  float f;
  memcpy(&f, &bits, sizeof f);
  f -= 1.0f;
  const float k = (float)exponent, s = f * f;
  float y = 0x1.204376p-4f;
  y = y * f + -0x1.d7a37p-4f;
  y = y * f + 0x1.de4a34p-4f;
  y = y * f + -0x1.fcba9ep-4f;
  y = y * f + 0x1.23d37ep-3f;
  y = y * f + -0x1.555cap-3f;
  y = y * f + 0x1.999d58p-3f;
  y = y * f + -0x1.fffff8p-3f;
  y = y * f + 0x1.555554p-2f;
  const float tail = (y * f) * s + k * LN2_LOW;
  return (f + (tail - 0.5f * s)) + k * LN2_HIGH;
}

static inline float tide_erf(float x) {
  x = tide_clamp(x, -4.0f, 4.0f);
  const float s = x * x;
  float p = -0x1.2bbe16p-32f;
  p = p * s + 0x1.dbffdcp-26f;
  p = p * s + -0x1.19fea2p-19f;
  p = p * s + -0x1.dd85a4p-15f;
  p = p * s + -0x1.8158c6p-11f;
  p = p * s + -0x1.8343ecp-9f;
  p = p * s + -0x1.07b7a8p-6f;
  float q = -0x1.e8c19ap-17f;
  q = q * s + -0x1.bf7a52p-13f;
  q = q * s + -0x1.b9249cp-10f;
  q = q * s + -0x1.e337fp-8f;
  q = q * s + -0x1.d36d4ep-7f;
  return tide_clamp(x * p / q, -1.0f, 1.0f);
}

static inline float tide_gelu(float x) { return (0.5f * x) * (1.0f + tide_erf(x * 0x1.6a09e6p-1f)); }

static inline float tide_gelu_tanh(float x) {
  const float u = tide_clamp(x, -32.0f, 32.0f);
  return (0.5f * x) * (1.0f + tide_tanh((u + ((u * u) * u) * 0x1.6e4e26p-5f) * 0x1.988454p-1f));
}

/* The root to nearest of a normal float in integers alone; there is no tie, for the square of an odd number is odd. */
static inline float tide_sqrt_of_bits(float x) {
  if (!(x > 0.0f)) return x == 0.0f ? x : NAN;
  if (x > 0x1.fffffep127f) return x;
  uint32_t bits, root = 0;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t odd = 1 - (bits >> 23 & 1); /* the exponent less its bias of 127 is odd */
  const uint64_t square = (uint64_t)((bits & 0x7fffff) | 0x800000) << (25 + odd);
  for (uint32_t bit = 1u << 24; bit; bit >>= 1) {
    const uint64_t more = root | bit;
    if (more * more <= square) root |= bit;
  }
  bits = (((bits >> 23) - odd + 127) / 2 << 23) + ((root + 1) >> 1) - 0x800000;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* Without instructions for floats sqrtf would be a call of the C library. */
#if defined(__SOFTFP__)
static inline float tide_sqrt(float x) { return tide_sqrt_of_bits(x); }
#else
static inline float tide_sqrt(float x) { return sqrtf(x); }
#endif

/* ---- run by run ---- */

/* Values that loops take at once: a vector in variants that have some, and then the last ones padded with zeros, for
 * what compilers make of the rest of a loop is more code than the loop (72 KB for all operators in avx512_vnni, so 33).
 */
#ifdef LANES
enum { RUN = LANES };
#else
enum { RUN = 1 };
#endif

/* The last values padded with zeros; with a step of 0 the first one again and again. Apart, or each loop has a copy. */
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

/* ---- over all features of a frame ---- */

/* Sums go in 8 interleaved lanes, each ascending, then fold by halves: vectors of any machine can do the same. Two
 * vectors of four, because gcc 12 left to itself transposes for AVX-512: 50 ns for 192 values, so 25. */
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

/* A float's bits as an integer of the same order, and back: compilers look for the largest of integers with vectors,
 * of floats one by one (118 ns for 192 values, so 13). No value is -0 once the tiny ones are +0, and none is NaN. */
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
