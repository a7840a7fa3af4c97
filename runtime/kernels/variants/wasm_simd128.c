/* WebAssembly with SIMD of 128 bits: one instruction multiplies 16-bit weights with 16-bit codes and adds pairs.
 * Relaxed SIMD is not used: its results may differ from one tier of a browser to the next. */
#include "variant.h"

#if TIDE_HAS_WASM_SIMD128
#include <wasm_simd128.h>

#define VARIANT wasm_simd128
#define LANES 4
#define DEPTHS {{2, 2}, {2, 2}}
#define PANEL 8
#define PLANES 1
#define CENTRE4 0
#define CENTRE8 0
/* A browser's compiler keeps the sums of a woven panel in memory: A takes 8.3 us, B 27; not woven 7.0 and 21.8. And to
 * widen weights of 8 bits at each push is one vector operation of three; stored as int16, A takes 5.9, B 18.2. */
#define WOVEN(bits, planes) 0
#define CELLS_BY_KIND 0
#define BYTES8 2

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

TIDE_INLINE vf vmax(vf a, vf b) { return (vf)wasm_f32x4_pmax((v128_t)a, (v128_t)b); }
TIDE_INLINE vf vabs(vf a) { return (vf)wasm_f32x4_abs((v128_t)a); }
TIDE_INLINE vf vclamp(vf a, float limit) {
  const v128_t above = wasm_f32x4_pmax((v128_t)a, wasm_f32x4_splat(-limit));
  return (vf)wasm_f32x4_pmin(above, wasm_f32x4_splat(limit));
}

/* One frame's codes are an array of int16. */
TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  (void)m;
  wasm_v128_store64_lane(codes + 2 * (size_t)at, wasm_i16x8_narrow_i32x4((v128_t)values, (v128_t)values), 0);
}

typedef struct sums {
  v128_t of[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *starts, const int width, const int planes) {
  (void)starts, (void)planes;
#pragma GCC unroll 8
  for (int v = 0; v < width; v++) s->of[v] = wasm_i32x4_const_splat(0);
}

TIDE_INLINE v128_t broadcast_pair(const uint8_t *codes) { return wasm_v128_load32_splat(codes); }

TIDE_INLINE void multiply_add(sums *s, int v, v128_t w, v128_t x) {
  s->of[v] = wasm_i32x4_add(s->of[v], wasm_i32x4_dot_i16x8(w, x));
}

/* Two steps at a time, vector by vector: A takes 4.63 us, and one step at a time 4.77. V8 multiplies as late as it can:
 * if all vectors of the first step came before those of the second, it would keep the first's weights in memory, and A
 * would take 7 % more than one step at a time. */
TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  uint32_t k = from;
  for (; k + 2 <= to; k += 2, weights += 32 * width) {
    const v128_t x = broadcast_pair(codes + 4 * (size_t)k), next = broadcast_pair(codes + 4 * (size_t)k + 4);
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) {
      multiply_add(s, v, wasm_v128_load(weights + 16 * v), x);
      multiply_add(s, v, wasm_v128_load(weights + 16 * (width + v)), next);
      __asm__ volatile("" ::: "memory");
    }
  }
  if (k == to) return;
  const v128_t x = broadcast_pair(codes + 4 * (size_t)k);
#pragma GCC unroll 8
  for (int v = 0; v < width; v++) multiply_add(s, v, wasm_v128_load(weights + 16 * v), x);
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  const v128_t half = wasm_i16x8_const_splat(15), eight = wasm_i16x8_const_splat(8);
  for (uint32_t k = from; k < to; k += 2) {
    const v128_t x = broadcast_pair(codes + 4 * (size_t)k), next = broadcast_pair(codes + 4 * (size_t)k + 4);
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) {
      const v128_t both = wasm_u16x8_load8x8(weights + 8 * v);
      multiply_add(s, v, wasm_i16x8_sub(wasm_v128_and(both, half), eight), x);
      multiply_add(s, v, wasm_i16x8_sub(wasm_u16x8_shr(both, 4), eight), next);
    }
    weights += 8 * width;
  }
}

TIDE_INLINE vi madd(const int8_t *weights, const uint8_t *codes) {
  return (vi)wasm_i32x4_dot_i16x8(wasm_v128_load(weights), broadcast_pair(codes));
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  (void)planes;
  return (vi)s->of[v];
}

static int variant_supported(void) { return 1; } /* a module with SIMD loads only where there is SIMD */

#include "packed/packed.inc"

#endif
