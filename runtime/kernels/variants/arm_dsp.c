/* Cortex-M with the DSP extension (M4, M7, M33): SMLAD multiplies and adds two pairs of 16 bits. */
#include "../src/kernels.h"
#include "../src/target.h"

#if TIDE_HAS_ARM_DSP
#include <arm_acle.h>

#define VARIANT arm_dsp

/* SXTB16 takes bytes 0 and 2 of a word, or 1 and 3: so codes stand in fours of which the middle two have changed
 * places. What is left behind the last four stays. */
#define PLACE(k, columns) (((k) | 3) < (columns) ? ((k) & ~3u) | ((k) & 1) << 1 | ((k) >> 1 & 1) : (k))

TIDE_INLINE uint32_t word_at(const void *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

TIDE_INLINE int32_t add_four(int32_t sum, uint32_t weights, uint32_t outer, uint32_t inner) {
  sum = __smlad((int16x2_t)__sxtb16((int8x4_t)weights), (int16x2_t)outer, sum);
  return __smlad((int16x2_t)__sxtb16((int8x4_t)__ror(weights, 8)), (int16x2_t)inner, sum);
}

TIDE_INLINE void add_bytes(int32_t *sums, const int8_t *w, size_t stride, const int rows, const int16_t *x,
                           uint32_t count) {
  const int8_t *row[4];
  for (int i = 0; i < rows; i++) row[i] = w + (size_t)i * stride;
  const int16_t *end = x + (count & ~3u), *last = x + count;
  for (; x < end; x += 4) {
    const uint32_t outer = word_at(x), inner = word_at(x + 2);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++, row[i - 1] += 4) sums[i] = add_four(sums[i], word_at(row[i]), outer, inner);
  }
  for (; x < last; x++) {
    for (int i = 0; i < rows; i++) sums[i] += *row[i]++ * *x;
  }
}

static int variant_supported(void) { return 1; }

#include "../src/rows.inc"

#endif
