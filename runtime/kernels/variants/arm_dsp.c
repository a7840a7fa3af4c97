/* Cortex-M with the DSP extension (M4, M7, M33): SMLAD multiplies and adds two pairs of 16 bits. */
#include "variant.h"

#if TIDE_HAS_ARM_DSP
#include <arm_acle.h>

#define VARIANT arm_dsp

/* SXTB16 takes bytes 0 and 2 of a word, or 1 and 3. */
#define SWAPPED 1

TIDE_INLINE uint32_t word_at(const void *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Takes bytes 1 and 3. In assembly, because gcc 12 would rotate the word first. */
TIDE_INLINE int16x2_t odd_bytes(uint32_t word) {
  int16x2_t pair;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}

TIDE_INLINE int32_t add_four(int32_t sum, const int8_t *w, int16x2_t even, int16x2_t odd) {
  const uint32_t four = word_at(w);
  sum = __smlad(__sxtb16((int8x4_t)four), even, sum);
  return __smlad(odd_bytes(four), odd, sum);
}

/* Each sum is a variable: gcc 12 would store an array of sums at each step. */
TIDE_INLINE void add_bytes(int32_t *sums, const int8_t *w, size_t stride, const int rows, const int16_t *x,
                           uint32_t count) {
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (const int16_t *end = x + (count & ~3u); x < end; x += 4, w += 4) {
    const int16x2_t even = (int16x2_t)word_at(x), odd = (int16x2_t)word_at(x + 2);
    s0 = add_four(s0, w, even, odd);
    if (rows > 1) s1 = add_four(s1, w + stride, even, odd);
    if (rows > 2) s2 = add_four(s2, w + 2 * stride, even, odd);
    if (rows > 3) s3 = add_four(s3, w + 3 * stride, even, odd);
  }
  for (uint32_t left = count & 3; left; left--, x++, w++) {
    s0 += w[0] * *x;
    if (rows > 1) s1 += w[stride] * *x;
    if (rows > 2) s2 += w[2 * stride] * *x;
    if (rows > 3) s3 += w[3 * stride] * *x;
  }
  sums[0] += s0;
  if (rows > 1) sums[1] += s1;
  if (rows > 2) sums[2] += s2;
  if (rows > 3) sums[3] += s3;
}

static int variant_supported(void) { return 1; }

#include "in_place.inc"

#endif
