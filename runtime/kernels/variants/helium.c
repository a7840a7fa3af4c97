/* Cortex-M with vectors (M55, M85): eight 16-bit products per instruction; the rest is masked. */
#include "variant.h"

#if TIDE_HAS_HELIUM
#include <arm_mve.h>

#define VARIANT helium
#define SWAPPED 0

/* Each sum is a variable: gcc 12 would store an array of sums at each step. */
TIDE_INLINE void add_bytes(int32_t *sums, const int8_t *w, size_t stride, const int rows, const int16_t *x,
                           uint32_t count) {
  int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
  for (uint32_t k = 0; k < count; k += 8, w += 8, x += 8) {
    const mve_pred16_t left = vctp16q(count - k);
    const int16x8_t codes = vldrhq_z_s16(x, left);
    s0 = vmladavaq_s16(s0, vldrbq_z_s16(w, left), codes);
    if (rows > 1) s1 = vmladavaq_s16(s1, vldrbq_z_s16(w + stride, left), codes);
    if (rows > 2) s2 = vmladavaq_s16(s2, vldrbq_z_s16(w + 2 * stride, left), codes);
    if (rows > 3) s3 = vmladavaq_s16(s3, vldrbq_z_s16(w + 3 * stride, left), codes);
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

static int variant_supported(void) { return 1; }

#include "in_place.inc"

#endif
