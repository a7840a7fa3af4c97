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

#include "neon_floats.inc"

/* One frame's codes are a plane of low bytes and, above 8 bits, a plane of high bytes. */
TIDE_INLINE size_t plane_bytes(const tide_matrix *m) { return tide_round_up((size_t)m->groups * DEPTH, LANES); }

TIDE_INLINE void store_low_bytes(uint8_t *out, int32x4_t v) {
  const int16x4_t words = vmovn_s32(v);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  memcpy(out, &bytes, LANES);
}

TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  const int32x4_t v = (int32x4_t)values;
  store_low_bytes(codes + at, m->planes == 1 ? v : veorq_s32(v, vdupq_n_s32(128))); /* low - 128 as a signed byte */
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
                            const uint8_t *codes2, uint32_t groups, const int width, const int planes) {
  for (uint32_t k = 0; k < groups; k++) {
    const int8x16_t x = broadcast4(codes + 4 * (size_t)k), x2 = planes == 2 ? broadcast4(codes2 + 4 * (size_t)k) : x;
    for (int v = 0; v < width; v++) {
      const int8x16_t w = vld1q_s8(weights + 16 * v);
      sum[v] = vdotq_s32(sum[v], w, x);
      if (planes == 2) sum2[v] = vdotq_s32(sum2[v], w, x2);
    }
    weights += 16 * width;
  }
}

TIDE_INLINE void add_products(sums *s, const tide_matrix *m, const int8_t *panel, const uint8_t *codes, uint32_t from,
                              uint32_t to, const int width, const int planes) {
  const int8_t *weights = panel + (size_t)from * 16 * (size_t)width;
  codes += 4 * (size_t)from;
  add_planes(s->low, s->high, weights, codes, codes + plane_bytes(m), to - from, width, planes);
}

TIDE_INLINE void add_pair(sums *a, sums *b, const tide_matrix *m, const int8_t *panel, const uint8_t *codes,
                          const int width) {
  add_planes(a->low, b->low, panel, codes, codes + m->code_bytes, m->groups, width, 2);
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  return (vi)(planes == 1 ? s->low[v] : vaddq_s32(s->low[v], vshlq_n_s32(s->high[v], 8)));
}

#include "../src/step.inc"

TIDE_TARGET_END
#endif
