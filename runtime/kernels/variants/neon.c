/* AArch64 without dot products: weights are widened to 16 bits and multiplied with 16-bit codes. Two inputs of a row
 * are side by side; their two sums are added at the end. */
#include "variant.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define VARIANT neon
#define LANES 4
#define DEPTHS {{2, 2}, {2, 2}}
#define PANEL 8
#define PLANES 1
#define CENTRE4 0
#define CENTRE8 0

#include "neon_floats.inc"

/* One frame's codes are an array of int16. */
TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  (void)m;
  vst1_s16((int16_t *)(void *)codes + at, vmovn_s32((int32x4_t)values));
}

/* Rows 0, 1 and rows 2, 3 of each vector. */
typedef struct sums {
  int32x4_t low[PANEL], high[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *starts, const int width, const int planes) {
  (void)starts, (void)planes;
  for (int v = 0; v < width; v++) s->low[v] = s->high[v] = vdupq_n_s32(0);
}

TIDE_INLINE void multiply_add(sums *s, int v, int16x8_t w, int16x8_t x) {
  s->low[v] = vmlal_s16(s->low[v], vget_low_s16(w), vget_low_s16(x));
  s->high[v] = vmlal_high_s16(s->high[v], w, x);
}

TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  for (uint32_t k = from; k < to; k++) {
    const int16x8_t x = broadcast_pair(codes + 4 * (size_t)k);
    for (int v = 0; v < width; v++) {
      multiply_add(s, v, vmovl_s8(vld1_s8(weights + 8 * v)), x);
    }
    weights += 8 * width;
  }
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  for (uint32_t k = from; k < to; k += 2) {
    const int16x8_t x = broadcast_pair(codes + 4 * (size_t)k), next = broadcast_pair(codes + 4 * (size_t)k + 4);
    for (int v = 0; v < width; v++) {
      const uint8x8_t both = vld1_u8((const uint8_t *)weights + 8 * v);
      const int8x8_t eight = vdup_n_s8(8);
      const int8x8_t w = vsub_s8(vreinterpret_s8_u8(vand_u8(both, vdup_n_u8(15))), eight);
      const int8x8_t w_next = vsub_s8(vreinterpret_s8_u8(vshr_n_u8(both, 4)), eight);
      multiply_add(s, v, vmovl_s8(w), x);
      multiply_add(s, v, vmovl_s8(w_next), next);
    }
    weights += 8 * width;
  }
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  (void)planes;
  return (vi)vpaddq_s32(s->low[v], s->high[v]);
}

static int variant_supported(void) { return 1; } /* every AArch64 has NEON */

#include "packed/packed.inc"

#endif
