/* AArch64 with dot products: sdot multiplies signed bytes and adds four products to an int32. A 16-bit code is two
 * signed bytes, an 8-bit code is one. */
#include "variant.h"

#if TIDE_HAS_NEON_DOTPROD
#include <arm_neon.h>

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
static int variant_supported(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#elif defined(__ARM_FEATURE_DOTPROD)
static int variant_supported(void) { return 1; }
#else
static int variant_supported(void) { return 0; }
#endif

TIDE_TARGET_BEGIN("arch=armv8.2-a+dotprod")

#define VARIANT neon_dotprod
#define LANES 4
#define DEPTHS {{4, 4}, {4, 4}}
#define PANEL 8
#define PLANES 2
#define CENTRE4 8
#define CENTRE8 0

#include "neon_floats.inc"

/* One frame's codes are a plane of low bytes and, above 8 bits, a plane of high bytes. */
TIDE_INLINE size_t plane_bytes(const tide_matrix *m) { return m->starts / 2; }

TIDE_INLINE void store_low_bytes(uint8_t *out, int32x4_t v) {
  const int16x4_t words = vmovn_s32(v);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  memcpy(out, &bytes, LANES);
}

TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  const int32x4_t v = (int32x4_t)values;
  store_low_bytes(codes + at, v);
  if (m->planes == 2) store_low_bytes(codes + plane_bytes(m) + at, vshrq_n_s32(vaddq_s32(v, vdupq_n_s32(128)), 8));
}

TIDE_INLINE int8x16_t broadcast4(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

TIDE_INLINE int32_t sum_bytes(const uint8_t *codes, uint32_t count) {
  int32x4_t sum = vdupq_n_s32(0);
  uint32_t i = 0;
  for (; i + 16 <= count; i += 16) {
    sum = vdotq_s32(sum, vdupq_n_s8(1), vreinterpretq_s8_u8(vld1q_u8(codes + i)));
  }
  int32_t rest = 0;
  for (; i < count; i++) rest += (int8_t)codes[i];
  return vaddvq_s32(sum) + rest;
}

typedef struct sums {
  int32x4_t low[PANEL], high[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *starts, const int width, const int planes) {
  for (int v = 0; v < width; v++) {
    s->low[v] = vdupq_n_s32(starts[0]);
    if (planes == 2) s->high[v] = vdupq_n_s32(starts[1]);
  }
}

/* Multiplies each loaded vector of weights with one or two planes of codes. Two planes are of one frame or of two. */
TIDE_INLINE void add_byte_planes(int32x4_t *sum, int32x4_t *sum2, const int8_t *weights, const uint8_t *codes,
                                 const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  for (size_t k = 0; k < steps; k++) {
    const int8x16_t x = broadcast4(codes + 4 * k), x2 = planes == 2 ? broadcast4(codes2 + 4 * k) : x;
    for (int v = 0; v < width; v++) {
      const int8x16_t w = vld1q_s8(weights + 16 * v);
      sum[v] = vdotq_s32(sum[v], w, x);
      if (planes == 2) sum2[v] = vdotq_s32(sum2[v], w, x2);
    }
    weights += 16 * width;
  }
}

/* The low halves of the bytes are one step's weights, the high halves the next step's; they stay 8 too large. */
TIDE_INLINE void add_nibble_planes(int32x4_t *sum, int32x4_t *sum2, const int8_t *weights, const uint8_t *codes,
                                   const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  for (size_t k = 0; k < steps; k += 2) {
    const int8x16_t x = broadcast4(codes + 4 * k), next = broadcast4(codes + 4 * k + 4);
    const int8x16_t x2 = planes == 2 ? broadcast4(codes2 + 4 * k) : x;
    const int8x16_t next2 = planes == 2 ? broadcast4(codes2 + 4 * k + 4) : next;
    for (int v = 0; v < width; v++) {
      const uint8x16_t both = vreinterpretq_u8_s8(vld1q_s8(weights + 16 * v));
      const int8x16_t w = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
      const int8x16_t w_next = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
      sum[v] = vdotq_s32(vdotq_s32(sum[v], w, x), w_next, next);
      if (planes == 2) sum2[v] = vdotq_s32(vdotq_s32(sum2[v], w, x2), w_next, next2);
    }
    weights += 16 * width;
  }
}

TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  codes += 4 * (size_t)from;
  add_byte_planes(s->low, s->high, weights, codes, codes + plane_bytes(m), to - from, width, planes);
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  codes += 4 * (size_t)from;
  add_nibble_planes(s->low, s->high, weights, codes, codes + plane_bytes(m), to - from, width, planes);
}

#define ADD_PAIR
TIDE_INLINE void add_pair(sums *a, sums *b, const int8_t *weights, const uint8_t *codes, const uint8_t *codes2,
                          uint32_t from, uint32_t to, const int width, const int bits) {
  codes += 4 * (size_t)from, codes2 += 4 * (size_t)from;
  if (bits == 4) add_nibble_planes(a->low, b->low, weights, codes, codes2, to - from, width, 2);
  else add_byte_planes(a->low, b->low, weights, codes, codes2, to - from, width, 2);
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  return (vi)(planes == 1 ? s->low[v] : vaddq_s32(s->low[v], vshlq_n_s32(s->high[v], 8)));
}

#include "packed/packed.inc"

TIDE_TARGET_END
#endif
