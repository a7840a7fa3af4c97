/* Functions of one float, every operation rounded: runtime/operators/numbers/functions.py in C, the same bits.
 *
 * They are scalar and, if possible, without branches: so compilers vectorize the loops around them, in
 * variants/floats.inc for each variant. The steps of recurrent layers have vectors of their own in variants/packed/. */
#ifndef TIDE_FUNCTIONS_H
#define TIDE_FUNCTIONS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tanh.h"
#include "target.h"

/* If floats are computed as doubles the bits differ. gcc for s390x does so with -std=c11, not with gnu11. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0 && __FLT_EVAL_METHOD__ != 16 /* 16: halves only */
#error "tidegate: this compiler does not round floats to 32 bits after each operation"
#endif

/* Values below 2^-60 become +0 before and after a float operation. NaN stays, so the range check finds it. */
static inline float tide_flush(float x) { return fabsf(x) < 0x1p-60f ? 0.0f : x; }

static inline float tide_clamp(float x, float least, float most) { return x > most ? most : x < least ? least : x; }

#define TIDE_ITSELF(x) x
static const float TIDE_TANH_P[4] = TANH_P(TIDE_ITSELF), TIDE_TANH_Q[4] = TANH_Q(TIDE_ITSELF);

static inline float tide_tanh(float x) {
  const float *p = TIDE_TANH_P, *q = TIDE_TANH_Q, u = tide_clamp(x * TANH_UNIT, -TANH_LIMIT, TANH_LIMIT), s = u * u;
  const float numerator = (((s + p[3]) * s + p[2]) * s + p[1]) * s + p[0];
  const float denominator = (((s + q[3]) * s + q[2]) * s + q[1]) * s + q[0];
  return tide_clamp(u * numerator / denominator, -1.0f, 1.0f);
}

static inline float tide_sigmoid(float x) { return 0.5f * tide_tanh(0.5f * x) + 0.5f; }

#define LN2_HIGH 0x1.63p-1f
#define LN2_LOW -0x1.bd0106p-13f

/* e^r - 1 and 2^k for x = k ln 2 + r. */
static inline float tide_exp_parts(float x, float *power) {
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
  memcpy(power, &bits, sizeof *power);
  return y * (r * r) + r;
}

static inline float tide_exp(float x) {
  float power;
  const float rest = tide_exp_parts(x, &power);
  return (rest + 1.0f) * power;
}

static inline float tide_expm1(float x) {
  float power;
  const float rest = tide_exp_parts(x, &power);
  return rest * power + (power - 1.0f);
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

static inline float tide_elu(float x, float alpha) { return x > 0.0f ? x : alpha * tide_expm1(x); }

static inline float tide_softplus(float x) {
  const float e = tide_exp(-fabsf(x)), u = 1.0f + e;
  return (x > 0.0f ? x : 0.0f) + (tide_log(u) + (e - (u - 1.0f)) / u);
}

static inline float tide_power(float x, float exponent) {
  const float at_zero = exponent > 0.0f && x == 0.0f ? 0.0f : NAN;
  return x > 0.0f ? tide_exp(exponent * tide_log(x)) : at_zero;
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

/* The square root of a normal float, to nearest, in integers only. There is no tie, because the square of an odd number
 * is odd. */
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

/* Without float instructions sqrtf would be a call of the C library. */
#if defined(__SOFTFP__)
static inline float tide_sqrt(float x) { return tide_sqrt_of_bits(x); }
#else
static inline float tide_sqrt(float x) { return sqrtf(x); }
#endif

#endif
