/* AArch64 with dot products: sdot multiplies signed bytes, four to an int32. A 16-bit code is
 * 256 * high + (low - 128) + 128 with two signed bytes; the last 128 goes into the start of the sum. An 8-bit code
 * is a signed byte already. */
#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

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
#define DEPTH 4
#define PANEL 8
#define CODE_OFFSETS {0, -128}
#define CENTRED 1
#define CENTRES {{8, 8, 8}, {0, 128, 0}}

#include "neon_floats.inc"

/* One frame's codes are a plane of low bytes and, above 8 bits, a plane of high bytes. */
TIDE_INLINE size_t plane_bytes(const tide_matrix *m) { return tide_round_up((size_t)m->steps * DEPTH, LANES); }

TIDE_INLINE void store_low_bytes(uint8_t *out, int32x4_t v) {
  const int16x4_t words = vmovn_s32(v);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  memcpy(out, &bytes, LANES);
}

TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  const int32x4_t v = (int32x4_t)values;
  store_low_bytes(codes + at, veorq_s32(v, vdupq_n_s32(m->code_offset & 128))); /* low - 128 as a signed byte */
  if (m->planes == 2) store_low_bytes(codes + plane_bytes(m) + at, vshrq_n_s32(v, 8));
}

TIDE_INLINE int8x16_t broadcast4(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

typedef struct sums {
  int32x4_t low[PANEL], high[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *start, const int width, const int planes) {
  for (int v = 0; v < width; v++) {
    s->low[v] = vld1q_s32(start + v * LANES);
    if (planes == 2) s->high[v] = vdupq_n_s32(0);
  }
}

/* Each loaded weight vector meets one or two planes of codes. */
TIDE_INLINE void add_planes(int32x4_t *sum, int32x4_t *sum2, const int8_t *weights, const uint8_t *codes,
                            const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  for (uint32_t k = 0; k < steps; k++) {
    const int8x16_t x = broadcast4(codes + 4 * (size_t)k), x2 = planes == 2 ? broadcast4(codes2 + 4 * (size_t)k) : x;
    for (int v = 0; v < width; v++) {
      const int8x16_t w = vld1q_s8(weights + 16 * v);
      sum[v] = vdotq_s32(sum[v], w, x);
      if (planes == 2) sum2[v] = vdotq_s32(sum2[v], w, x2);
    }
    weights += 16 * width;
  }
}

TIDE_INLINE void add_products(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                              uint32_t to, const int width, const int planes) {
  codes += 4 * (size_t)from;
  add_planes(s->low, s->high, weights, codes, codes + plane_bytes(m), to - from, width, planes);
}

TIDE_INLINE void add_pair(sums *a, sums *b, const tide_matrix *m, const int8_t *panel, const uint8_t *codes,
                          const int width) {
  add_planes(a->low, b->low, panel, codes, codes + m->code_bytes, m->steps, width, 2);
}

TIDE_INLINE void start_all(sums *s, int32_t low, int32_t high, const int width, const int planes) {
  for (int v = 0; v < width; v++) {
    s->low[v] = vdupq_n_s32(low);
    if (planes == 2) s->high[v] = vdupq_n_s32(high);
  }
}

TIDE_INLINE int32x4_t add_unsigned(int32x4_t sum, uint8x16_t w, int8x16_t x) {
  return vreinterpretq_s32_u32(vdotq_u32(vreinterpretq_u32_s32(sum), w, vreinterpretq_u8_s8(x)));
}

/* The low plane of two is unsigned here and meets w + 128; else all is signed. */
TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  const uint8_t *codes2 = codes + plane_bytes(m);
  for (size_t k = from; k < to; k++) {
    const int8x16_t x = broadcast4(codes + 4 * k), x2 = planes == 2 ? broadcast4(codes2 + 4 * k) : x;
    for (int v = 0; v < width; v++) {
      const int8x16_t w = vld1q_s8(weights + 16 * v);
      if (planes == 1) s->low[v] = vdotq_s32(s->low[v], w, x);
      else s->low[v] = add_unsigned(s->low[v], veorq_u8(vreinterpretq_u8_s8(w), vdupq_n_u8(128)), x);
      if (planes == 2) s->high[v] = vdotq_s32(s->high[v], w, x2);
    }
    weights += 16 * width;
  }
}

/* Weights plus 8 are signed and unsigned bytes alike. */
TIDE_INLINE void add_half(sums *s, int v, uint8x16_t w, int8x16_t x, int8x16_t x2, const int planes) {
  if (planes == 1) s->low[v] = vdotq_s32(s->low[v], vreinterpretq_s8_u8(w), x);
  else s->low[v] = add_unsigned(s->low[v], w, x);
  if (planes == 2) s->high[v] = vdotq_s32(s->high[v], vreinterpretq_s8_u8(w), x2);
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  const uint8_t *codes2 = planes == 2 ? codes + plane_bytes(m) : codes;
  for (size_t k = from; k < to; k += 2) {
    const int8x16_t x = broadcast4(codes + 4 * k), x2 = broadcast4(codes2 + 4 * k);
    const int8x16_t next = broadcast4(codes + 4 * k + 4), next2 = broadcast4(codes2 + 4 * k + 4);
    for (int v = 0; v < width; v++) {
      const uint8x16_t both = vreinterpretq_u8_s8(vld1q_s8(weights + 16 * v));
      add_half(s, v, vandq_u8(both, vdupq_n_u8(15)), x, x2, planes);
      add_half(s, v, vshrq_n_u8(both, 4), next, next2, planes);
    }
    weights += 16 * width;
  }
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  return (vi)(planes == 1 ? s->low[v] : vaddq_s32(s->low[v], vshlq_n_s32(s->high[v], 8)));
}

#include "../src/step.inc"

TIDE_TARGET_END
#endif
