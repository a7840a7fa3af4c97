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

#include "neon.inc"

/* In assembly and in this order: gcc 12 moves the intrinsics' sums between registers, and in-order cores wait. The
 * codes of one step, of the two that there may be, are multiplied with each row. */
#define SDOT(sum, w, codes, step)                                                                \
  do {                                                                                           \
    if (step) __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[1]" : "+w"(sum) : "w"(w), "w"(codes)); \
    else __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[0]" : "+w"(sum) : "w"(w), "w"(codes));      \
  } while (0)
#define LOAD(w, p) __asm__ volatile("ldr %q0, %1" : "=w"(w) : "m"(*(const int8x16_t *)(const void *)(p)))

TIDE_INLINE int8x8_t load_codes(const uint8_t *codes, const int steps) {
  int8x8_t x;
  if (steps == 2) __asm__ volatile("ldr %d0, %1" : "=w"(x) : "m"(*(const int64_t *)(const void *)codes));
  else __asm__ volatile("ldr %s0, %1" : "=w"(x) : "m"(*(const int32_t *)(const void *)codes));
  return x;
}

TIDE_INLINE void load_vectors(int8x16_t *w, const int8_t *weights, const int vectors) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) LOAD(w[v], weights + 16 * v);
}

TIDE_INLINE void add_step(int32x4_t *sum, const int8x16_t *w, int8x8_t x, const int width) {
#pragma GCC unroll 8
  for (int v = 0; v < width; v++) SDOT(sum[v], w[v], x, 0);
}

/* Multiplies each loaded vector of weights with one or two planes of codes. Two planes are of one frame or of two. */
TIDE_INLINE void add_byte_planes(int32x4_t *sum, int32x4_t *sum2, const int8_t *weights, const uint8_t *codes,
                                 const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  for (const uint8_t *end = codes + 4 * (size_t)steps; codes < end; codes += 4, codes2 += 4, weights += 16 * width) {
    int8x16_t w[PANEL];
    const int8x8_t x = load_codes(codes, 1), x2 = planes == 2 ? load_codes(codes2, 1) : x;
    load_vectors(w, weights, width);
    add_step(sum, w, x, width);
    if (planes == 2) add_step(sum2, w, x2, width);
  }
}

/* Products of the low and the high halves of bytes with the codes of two steps. */
TIDE_INLINE void add_two_steps(int32x4_t *sum, const int8x16_t *low, const int8x16_t *high, int8x8_t x,
                               const int vectors) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) SDOT(sum[v], low[v], x, 0);
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) SDOT(sum[v], high[v], x, 1);
}

/* The low halves of the bytes are one step's weights, the high halves the next step's; they stay 8 too large. */
TIDE_INLINE void add_nibble_planes(int32x4_t *sum, int32x4_t *sum2, const int8_t *weights, const uint8_t *codes,
                                   const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  const int most = planes == 2 ? 4 : PANEL; /* vectors whose weights stay in registers */
  for (const uint8_t *end = codes + 4 * (size_t)steps; codes < end; codes += 8, codes2 += 8, weights += 16 * width) {
    const int8x8_t x = load_codes(codes, 2), x2 = planes == 2 ? load_codes(codes2, 2) : x;
#pragma GCC unroll 2
    for (int first = 0; first < width; first += most) {
      const int vectors = width - first < most ? width - first : most;
      int8x16_t low[PANEL], high[PANEL];
      load_vectors(high, weights + 16 * first, vectors);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; v++) {
        low[v] = vandq_s8(high[v], vdupq_n_s8(15));
        high[v] = vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(high[v]), 4));
      }
      add_two_steps(sum + first, low, high, x, vectors);
      if (planes == 2) add_two_steps(sum2 + first, low, high, x2, vectors);
    }
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

#include "packed/packed.inc"

TIDE_TARGET_END
#endif
