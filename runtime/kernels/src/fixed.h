/* Fixed-point arithmetic of the integer operators: runtime/operators/numbers/fixed.py in C, the same bits. Every
 * rounding is floor(v + 1/2). There is no float arithmetic here: the floats that go from operator to operator are read
 * and written as bits. */
#ifndef TIDE_FIXED_H
#define TIDE_FIXED_H

#include <stdint.h>
#include <string.h>

enum {
  LEAST_EXPONENT = -40,
  MOST_EXPONENT = 60,
  MOST_VALUE = (1 << 24) - 1, /* codes that a float holds exactly */
  MOST_STATE = INT16_MAX,     /* of c */
  GATE = 16,                  /* exponent of what enters a gate */
  UNIT = 15,                  /* exponent of what comes out of one */
  MOST_SUM = 1 << 28,
  TABLE_STEP = 7, /* tanh is tabulated at every 2^-7 */
  TABLE_PLACES = 6 << TABLE_STEP,
};

extern const uint16_t tide_tanh_table[TABLE_PLACES + 1];

static inline int32_t tide_clipped(int32_t x, int32_t most) { return x > most ? most : x < -most ? -most : x; }

/* floor(x / 2^shift + 1/2) */
static inline int32_t tide_rounded(int32_t x, int shift) { return (x + (1 << shift >> 1)) >> shift; }

/* A float's value times 2^exponent. */
static inline int32_t tide_code(const float *x, int32_t exponent, int32_t most) {
  uint32_t bits;
  memcpy(&bits, x, sizeof bits);
  const int32_t shift = 150 - (int32_t)(bits >> 23 & 255) - exponent; /* of a mantissa of 24 bits */
  const int32_t magnitude = (int32_t)((bits & 0x7fffffu) | 0x800000u);
  const int32_t mantissa = bits >> 31 ? -magnitude : magnitude;
  if (shift > 24) return 0;
  if (shift < -7) return mantissa < 0 ? -most : most; /* it is 2^31 or more */
  return tide_clipped(shift > 0 ? tide_rounded(mantissa, shift) : mantissa * (1 << -shift), most);
}

/* code * 2^-exponent, exactly; codes up to MOST_VALUE. */
static inline void tide_value(int32_t code, int32_t exponent, float *value) {
  const uint32_t magnitude = code < 0 ? 0u - (uint32_t)code : (uint32_t)code;
  const int zeros = magnitude ? __builtin_clz(magnitude) : 0;
  const uint32_t power = (uint32_t)(127 + 31 - zeros - exponent);
  uint32_t bits = (magnitude << zeros >> 8 & 0x7fffffu) | power << 23 | (code < 0 ? 0x80000000u : 0);
  if (!magnitude) bits = 0;
  memcpy(value, &bits, sizeof bits);
}

/* A sum times a float times 2^exponent, clipped to MOST_SUM; the float is not subnormal. The mantissa has 31 bits, so
 * most results need only the upper half of the product. */
static inline int32_t tide_scaled(int32_t sum, const float *scale, int32_t exponent) {
  uint32_t bits;
  memcpy(&bits, scale, sizeof bits);
  const int32_t shift = 157 - (int32_t)(bits >> 23 & 255) - exponent;
  const int32_t magnitude = (int32_t)((bits << 7 & 0x3fffff80u) | 0x40000000u);
  const int64_t product = (int64_t)sum * (bits >> 31 ? -magnitude : magnitude);
  if (shift > 62) return 0;
  if (shift > 32) {
    const int32_t upper = (int32_t)(product >> 32);
    return tide_clipped((upper + (1 << (shift - 33))) >> (shift - 32), MOST_SUM);
  }
  const int32_t down = shift > 1 ? shift : 1; /* |product| >= 2^30 or 0: half of it is larger than MOST_SUM */
  const int64_t found = (product + ((int64_t)1 << (down - 1))) >> down;
  return found > MOST_SUM ? MOST_SUM : found < -MOST_SUM ? -MOST_SUM : (int32_t)found;
}

/* A product / 2^shift, shift up to 62, clipped to MOST_SUM. */
static inline int32_t tide_shifted(int64_t product, int32_t shift) {
  if (shift > 0) product = (product + ((int64_t)1 << (shift - 1))) >> shift;
  const int32_t clipped = product > MOST_SUM ? MOST_SUM : product < -MOST_SUM ? -MOST_SUM : (int32_t)product;
  if (shift >= 0 || !clipped) return clipped;
  if (shift < -28) return clipped < 0 ? -MOST_SUM : MOST_SUM;
  const int64_t up = (int64_t)clipped * ((int64_t)1 << -shift);
  return up > MOST_SUM ? MOST_SUM : up < -MOST_SUM ? -MOST_SUM : (int32_t)up;
}

/* The table's function at x: odd, places 2^bits apart, linear between them. */
static inline int32_t tide_between(int32_t x, int bits) {
  const int32_t end = (TABLE_PLACES << bits) - 1, magnitude = x < 0 ? -x : x;
  const int32_t place = magnitude < end ? magnitude : end, at = place >> bits, rest = place & ((1 << bits) - 1);
  const int32_t low = tide_tanh_table[at], rise = tide_tanh_table[at + 1] - low;
  const int32_t y = tide_rounded((low << bits) + rise * rest, bits);
  return x < 0 ? -y : y;
}

/* Functions of gates, from exponent GATE to exponent UNIT. */
static inline int32_t tide_fixed_tanh(int32_t x) { return tide_between(x, GATE - TABLE_STEP); }

static inline int32_t tide_fixed_sigmoid(int32_t x) {
  return ((1 << UNIT) + tide_between(x, GATE - TABLE_STEP + 1) + 1) >> 1;
}

#endif
