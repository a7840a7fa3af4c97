/* AVX-512 VNNI: vpdpbusd multiplies unsigned activation bytes with signed weight bytes, four to an int32,
 * without saturation. A 16-bit code plus 32768 is two unsigned bytes, each a pass of its own over the
 * same loaded weights; the surplus of 32768 times the row's sum is in the start value. */
#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

TIDE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#define VARIANT avx512_vnni
#define LANES 16
#define DEPTH 4
#define PANEL 8
#define CODE_OFFSET 32768

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));

TIDE_INLINE vf vmin(vf a, vf b) { return _mm512_min_ps(a, b); }
TIDE_INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
TIDE_INLINE vf vabs(vf a) { return _mm512_abs_ps(a); }

/* One frame's codes are a plane of low bytes and a plane of high bytes. */
TIDE_INLINE size_t plane_bytes(const tide_matrix *m) { return tide_round_up((size_t)m->groups * DEPTH, LANES); }

TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  const __m512i v = _mm512_add_epi32((__m512i)values, _mm512_set1_epi32(CODE_OFFSET));
  const __m128i low = _mm512_cvtepi32_epi8(v), high = _mm512_cvtepi32_epi8(_mm512_srli_epi32(v, 8));
  memcpy(codes + at, &low, sizeof low);
  memcpy(codes + plane_bytes(m) + at, &high, sizeof high);
}

/* In assembly, because gcc 12 otherwise folds the weight load into both products and copies accumulators:
 * 20 % slower. */
#define DPBUSD(sum, x, w) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w))

TIDE_INLINE __m512i broadcast4(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

TIDE_INLINE void dot(const int8_t *weights, const tide_matrix *m, const uint8_t *codes, const int32_t *start, vi *sums,
                     const int width) {
  const uint8_t *high_codes = codes + plane_bytes(m);
  __m512i low[PANEL], high[PANEL];
  for (int v = 0; v < width; v++) {
    low[v] = _mm512_load_si512(start + v * LANES);
    high[v] = _mm512_setzero_si512();
  }
  for (uint32_t k = 0; k < 4 * m->groups; k += 4) {
    const __m512i x_low = broadcast4(codes + k), x_high = broadcast4(high_codes + k);
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) {
      const __m512i w = _mm512_load_si512(weights + 64 * v);
      DPBUSD(low[v], x_low, w);
      DPBUSD(high[v], x_high, w);
    }
    weights += 64 * width;
  }
  for (int v = 0; v < width; v++) sums[v] = (vi)_mm512_add_epi32(low[v], _mm512_slli_epi32(high[v], 8));
}

static int variant_supported(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

#include "../src/step.inc"

TIDE_TARGET_END
#endif
