/* AVX-512 VNNI: the 512-bit vpdpbusd. */
#include "variant.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "x86.h"

static int variant_supported(void) { return x86_has(X86_AVX512 | X86_AVX512_WIDE | X86_AVX512_VNNI); }

#if TIDE_HAS_EVEX512
TIDE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,evex512")
#else
TIDE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

#define VARIANT avx512_vnni
#define LANES 16
#define PANEL 8
#define WOVEN(bits, planes) ((bits) == 8 && (planes) == 1)

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));

TIDE_INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
TIDE_INLINE vf vabs(vf a) { return _mm512_abs_ps(a); }
/* vrangeps with operation 2: the smaller magnitude, with the sign of a. */
TIDE_INLINE vf vclamp(vf a, float limit) { return _mm512_range_ps(a, _mm512_set1_ps(limit), 2); }

#define NEAREST
TIDE_INLINE vi nearest(vf x) { return (vi)_mm512_cvtps_epi32(x); }

/* A masked load. Copied to memory first, the load would wait for two stores: 30 ns per frame of 40 features. */
#define LOAD_PART
TIDE_INLINE vf load_part(const float *p, uint32_t count) {
  return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
}

#define LARGEST_LANE
TIDE_INLINE float largest_lane(vf x) { return _mm512_reduce_max_ps(x); }

/* One frame's codes are a plane of low bytes and, above 8 bits, a plane of high bytes. */
TIDE_INLINE size_t plane_bytes(const tide_matrix *m) { return m->starts / 2; }

TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  const __m512i v = (__m512i)values, above = _mm512_add_epi32(v, _mm512_set1_epi32(128));
  const __m128i low = _mm512_cvtepi32_epi8(v), high = _mm512_cvtepi32_epi8(_mm512_srai_epi32(above, 8));
  memcpy(codes + at, &low, sizeof low);
  if (m->planes == 2) memcpy(codes + plane_bytes(m) + at, &high, sizeof high);
}

#define DPBUSD(sum, w, x) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x))
#define KEEP(w) __asm__("" : "+v"(w))
#define MADD(w, x) ((vi)_mm512_madd_epi16((__m512i)(w), (__m512i)(x)))

TIDE_INLINE int32_t sum_bytes(const uint8_t *codes, uint32_t count) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum = _mm512_setzero_si512();
  for (uint32_t i = 0; i < count; i += 64) {
    const __mmask16 there = (__mmask16)(count - i < 64 ? (1u << (count - i) / 4) - 1 : 0xffff);
    DPBUSD(sum, ones, _mm512_maskz_loadu_epi32(there, codes + i));
  }
  return _mm512_reduce_add_epi32(sum);
}

#define TILE_VECTORS 4 /* of four planes: 16 sums */
#include "vnni.inc"

TIDE_TARGET_END
#endif
