/* AArch64 without dot products: smull multiplies signed bytes to words, smlal adds more products to them, and sadalp
 * adds pairs of words to an int32. A 16-bit code is two signed bytes, an 8-bit code is one. */
#include "variant.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define VARIANT neon
#define LANES 4
#define DEPTHS {{2, 2}, {2, 2}}
#define PANEL 8
#define PLANES 2
#define CENTRE4 8
#define CENTRE8 0
#define SLICES 2 /* a part of a dot product ends with whole blocks of words; fewer parts, fewer short blocks */

#include "neon.inc"

/* In assembly and in this order: gcc 12 moves the intrinsics' sums between registers, and in-order cores wait. */
#define SMULL(words, w, x) __asm__ volatile("smull %0.8h, %1.8b, %2.8b" : "=&w"(words) : "w"(w), "w"(x))
#define SMULL2(words, w, x) __asm__ volatile("smull2 %0.8h, %1.16b, %2.16b" : "=&w"(words) : "w"(w), "w"(x))
#define SMLAL(words, w, x) __asm__ volatile("smlal %0.8h, %1.8b, %2.8b" : "+w"(words) : "w"(w), "w"(x))
#define SMLAL2(words, w, x) __asm__ volatile("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(words) : "w"(w), "w"(x))
#define SADALP(sum, words) __asm__ volatile("sadalp %0.4s, %1.8h" : "+w"(sum) : "w"(words))

/* The codes of two steps. */
TIDE_INLINE int16x4_t load_codes(const uint8_t *codes) {
  int16x4_t four;
  __asm__ volatile("ldr %s0, %1" : "=w"(four) : "m"(*(const int32_t *)(const void *)codes));
  return four;
}

/* The codes of one of two steps, for each row. By ld1r each step needs an address of its own. */
#define BROADCAST(x, codes, step) __asm__ volatile("dup %0.8h, %1.h[" #step "]" : "=w"(x) : "w"(codes))

TIDE_INLINE void broadcast_all(int8x16_t *x, int8x16_t *next, const int16x4_t *codes, const int planes) {
#pragma GCC unroll 2
  for (int p = 0; p < planes; p++) {
    BROADCAST(x[p], codes[p], 0);
    BROADCAST(next[p], codes[p], 1);
  }
}

/* The weights of two vectors, or of the last one. */
TIDE_INLINE int8x16_t load_two(const int8_t *weights, const int two) {
  int8x16_t w;
  if (two) __asm__ volatile("ldr %q0, %1" : "=w"(w) : "m"(*(const int8x16_t *)(const void *)weights));
  else __asm__ volatile("ldr %d0, %1" : "=w"(w) : "m"(*(const int8x8_t *)(const void *)weights));
  return w;
}

TIDE_INLINE void load_all(int8x16_t *w, const int8_t *weights, const int vectors) {
#pragma GCC unroll 4
  for (int v = 0; v < vectors; v += 2) w[v / 2] = load_two(weights + 8 * v, vectors - v > 1);
}

TIDE_INLINE void multiply_words(int16x8_t *words, const int8x16_t *w, int8x16_t x, const int vectors) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) {
    if (v % 2) SMULL2(words[v], w[v / 2], x);
    else SMULL(words[v], w[v / 2], x);
  }
}

TIDE_INLINE void add_words(int16x8_t *words, const int8x16_t *w, int8x16_t x, const int vectors) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) {
    if (v % 2) SMLAL2(words[v], w[v / 2], x);
    else SMLAL(words[v], w[v / 2], x);
  }
}

TIDE_INLINE void add_sums(int32x4_t *sum, const int16x8_t *words, const int vectors) {
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) SADALP(sum[v], words[v]);
}

/* Products of up to two steps, which fit a word, with each plane of codes. Each result is used several instructions
 * later. */
TIDE_INLINE void add_byte_steps(sums *s, const int first, const int8_t *weights, const uint8_t *codes, size_t plane,
                                const int width, const int vectors, const int planes, const int steps) {
  int8x16_t w[PANEL / 2], next[PANEL / 2];
  int16x8_t words[2][PANEL];
  int16x4_t both[2];
  int8x16_t x[2], x_next[2];
#pragma GCC unroll 2
  for (int p = 0; p < planes; p++) both[p] = load_codes(codes + (size_t)p * plane);
  load_all(w, weights, vectors);
  if (steps == 2) load_all(next, weights + 8 * width, vectors);
  broadcast_all(x, x_next, both, planes);
#pragma GCC unroll 2
  for (int p = 0; p < planes; p++) multiply_words(words[p], w, x[p], vectors);
  if (steps == 2) {
#pragma GCC unroll 2
    for (int p = 0; p < planes; p++) add_words(words[p], next, x_next[p], vectors);
  }
  add_sums(s->low + first, words[0], vectors);
  if (planes == 2) add_sums(s->high + first, words[1], vectors);
}

TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  const size_t plane = plane_bytes(m);
  const int most = planes == 2 ? 4 : PANEL; /* vectors whose words stay in registers */
#pragma GCC unroll 2
  for (int v = 0; v < width; v += most) {
    const int vectors = width - v < most ? width - v : most;
    const int8_t *at = weights + 8 * v;
    const uint8_t *x = codes + 2 * (size_t)from, *end = x + (to - from) / 2 * 4;
    for (; x < end; x += 4, at += 16 * width) add_byte_steps(s, v, at, x, plane, width, vectors, planes, 2);
    if ((to - from) % 2) add_byte_steps(s, v, at, x, plane, width, vectors, planes, 1);
  }
}

/* Steps whose products stay in a word: 16 * 15 * 128 is 30720. */
enum { STEPS_OF_A_WORD = 16 };

/* The products of up to STEPS_OF_A_WORD steps. The low halves of the bytes are one step's weights, the high halves the
 * next step's; they stay 8 too large. */
TIDE_INLINE void add_nibble_block(sums *s, const int first, const int8_t *weights, const uint8_t *codes, size_t plane,
                                  uint32_t steps, const int width, const int vectors, const int planes) {
  int16x8_t words[2][PANEL];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; v++) words[0][v] = words[1][v] = vdupq_n_s16(0);
  for (size_t k = 0; k < steps; k += 2, weights += 8 * width) {
    int8x16_t w[PANEL / 2], next[PANEL / 2];
    int16x4_t both_codes[2];
    int8x16_t x[2], x_next[2];
#pragma GCC unroll 2
    for (int p = 0; p < planes; p++) both_codes[p] = load_codes(codes + (size_t)p * plane + 2 * k);
    load_all(w, weights, vectors);
    broadcast_all(x, x_next, both_codes, planes);
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v += 2) {
      const uint8x16_t both = vreinterpretq_u8_s8(w[v / 2]);
      w[v / 2] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
      next[v / 2] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
    }
#pragma GCC unroll 2
    for (int p = 0; p < planes; p++) add_words(words[p], w, x[p], vectors);
#pragma GCC unroll 2
    for (int p = 0; p < planes; p++) add_words(words[p], next, x_next[p], vectors);
  }
  add_sums(s->low + first, words[0], vectors);
  if (planes == 2) add_sums(s->high + first, words[1], vectors);
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  const size_t plane = plane_bytes(m);
  const int most = planes == 2 ? 4 : PANEL; /* vectors whose words stay in registers */
  for (uint32_t k = from; k < to; k += STEPS_OF_A_WORD) {
    const uint32_t steps = to - k < STEPS_OF_A_WORD ? to - k : STEPS_OF_A_WORD;
#pragma GCC unroll 2
    for (int v = 0; v < width; v += most) {
      const int vectors = width - v < most ? width - v : most;
      add_nibble_block(s, v, weights + 8 * v, codes + 2 * (size_t)k, plane, steps, width, vectors, planes);
    }
    weights += (size_t)steps / 2 * 8 * (size_t)width;
  }
}

static int variant_supported(void) { return 1; } /* every AArch64 has NEON */

#include "packed/packed.inc"

#endif
