/* AVX-512 VNNI: vpdpbusd multiplies unsigned with signed bytes and adds four products to an int32, without saturation.
 * Weights are stored unsigned. A 16-bit code is two signed bytes, each multiplied with the same loaded weights; an
 * 8-bit code is one byte. */
#include "variant.h"

#if defined(__x86_64__)
#include <immintrin.h>

TIDE_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")

#define VARIANT avx512_vnni
#define LANES 16
#define DEPTHS {{4, 4}, {4, 4}}
#define PANEL 8
#define PLANES 2
#define CENTRE4 8
#define CENTRE8 128

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));

TIDE_INLINE vf vmax(vf a, vf b) { return _mm512_max_ps(a, b); }
TIDE_INLINE vf vabs(vf a) { return _mm512_abs_ps(a); }
/* vrangeps with operation 2: the smaller magnitude, with the sign of a. */
TIDE_INLINE vf vclamp(vf a, float limit) { return _mm512_range_ps(a, _mm512_set1_ps(limit), 2); }

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

/* In assembly: with the intrinsic gcc 12 folds the weight load into both products and copies accumulators (20 %). */
#define DPBUSD(sum, w, x) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x))
/* Keeps gcc 12 from loading a vector of weights again for its second product. */
#define KEEP(w) __asm__("" : "+v"(w))

TIDE_INLINE __m512i broadcast4(const uint8_t *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return _mm512_set1_epi32(four);
}

TIDE_INLINE int32_t sum_bytes(const uint8_t *codes, uint32_t count) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sum = _mm512_setzero_si512();
  for (uint32_t i = 0; i < count; i += 64) {
    const __mmask16 there = (__mmask16)(count - i < 64 ? (1u << (count - i) / 4) - 1 : 0xffff);
    DPBUSD(sum, ones, _mm512_maskz_loadu_epi32(there, codes + i));
  }
  return _mm512_reduce_add_epi32(sum);
}

typedef struct sums {
  __m512i low[PANEL], high[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *starts, const int width, const int planes) {
#pragma GCC unroll 8
  for (int v = 0; v < width; v++) {
    s->low[v] = _mm512_set1_epi32(starts[0]);
    if (planes == 2) s->high[v] = _mm512_set1_epi32(starts[1]);
  }
}

/* Multiplies each loaded vector of weights with one or two planes of codes. Two planes are of one frame or of two. */
TIDE_INLINE void add_byte_planes(__m512i *sum, __m512i *sum2, const int8_t *weights, const uint8_t *codes,
                                 const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  for (size_t k = 0; k < steps; k++) {
    const __m512i x = broadcast4(codes + 4 * k), x2 = planes == 2 ? broadcast4(codes2 + 4 * k) : x;
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) {
      __m512i w = _mm512_loadu_si512(weights + 64 * v);
      KEEP(w);
      DPBUSD(sum[v], w, x);
      if (planes == 2) DPBUSD(sum2[v], w, x2);
    }
    weights += 64 * width;
  }
}

/* The low halves of the bytes are one step's weights, the high halves the next step's. */
TIDE_INLINE void add_nibble_planes(__m512i *sum, __m512i *sum2, const int8_t *weights, const uint8_t *codes,
                                   const uint8_t *codes2, uint32_t steps, const int width, const int planes) {
  const __m512i half = _mm512_set1_epi8(15);
  for (size_t k = 0; k < steps; k += 2) {
    const __m512i x = broadcast4(codes + 4 * k), next = broadcast4(codes + 4 * k + 4);
    const __m512i x2 = planes == 2 ? broadcast4(codes2 + 4 * k) : x;
    const __m512i next2 = planes == 2 ? broadcast4(codes2 + 4 * k + 4) : next;
#pragma GCC unroll 8
    for (int v = 0; v < width; v++) {
      const __m512i both = _mm512_loadu_si512(weights + 64 * v);
      const __m512i w = _mm512_and_si512(both, half), w_next = _mm512_and_si512(_mm512_srli_epi16(both, 4), half);
      DPBUSD(sum[v], w, x);
      if (planes == 2) DPBUSD(sum2[v], w, x2);
      DPBUSD(sum[v], w_next, next);
      if (planes == 2) DPBUSD(sum2[v], w_next, next2);
    }
    weights += 64 * width;
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

TIDE_INLINE vi madd(const int8_t *weights, const uint8_t *codes) {
  return (vi)_mm512_madd_epi16(_mm512_loadu_si512(weights), broadcast4(codes));
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  return (vi)(planes == 1 ? s->low[v] : _mm512_add_epi32(s->low[v], _mm512_slli_epi32(s->high[v], 8)));
}

static int variant_supported(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

#include "packed/packed.inc"

TIDE_TARGET_END
#endif
