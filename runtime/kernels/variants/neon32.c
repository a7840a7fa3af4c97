/* 32-bit Arm with NEON: used for integer products only, because its float vectors flush subnormals and divide
 * inexactly. */
#include "variant.h"

#if TIDE_HAS_NEON32
#include <arm_neon.h>

#define VARIANT neon32
#define SWAPPED 0

TIDE_INLINE int32_t sum_of_lanes(int32x4_t v) {
  const int32x2_t half = vadd_s32(vget_low_s32(v), vget_high_s32(v));
  return vget_lane_s32(vpadd_s32(half, half), 0);
}

TIDE_INLINE void add_bytes(int32_t *sums, const int8_t *w, size_t stride, const int rows, const int16_t *x,
                           uint32_t count) {
  int32x4_t lanes[4];
  uint32_t k = 0;
  for (int i = 0; i < rows; i++) lanes[i] = vdupq_n_s32(0);
  for (; k + 8 <= count; k += 8) {
    const int16x4_t low = vld1_s16(x + k), high = vld1_s16(x + k + 4);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      const int16x8_t wide = vmovl_s8(vld1_s8(w + (size_t)i * stride + k));
      lanes[i] = vmlal_s16(vmlal_s16(lanes[i], vget_low_s16(wide), low), vget_high_s16(wide), high);
    }
  }
  for (int i = 0; i < rows; i++) sums[i] += sum_of_lanes(lanes[i]);
  for (; k < count; k++) {
    for (int i = 0; i < rows; i++) sums[i] += w[(size_t)i * stride + k] * x[k];
  }
}

static int variant_supported(void) { return 1; }

#include "in_place.inc"

#endif
