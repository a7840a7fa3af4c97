/* AVX2: weights are widened to 16 bits; vpmaddwd multiplies pairs and adds them, and cannot overflow here. vpmaddubsw
 * would take 8-bit operands, but saturates at 16 bits. */
#include "variant.h"

#if defined(__x86_64__)
#include <immintrin.h>

TIDE_TARGET_BEGIN("avx2")

#define VARIANT avx2
#define LANES 8
#define DEPTH 2
#define PANEL 8
#define PLANES 1
#define CENTRE4 0
#define CENTRE8 0
#define SLICES 2 /* with 5 A at T = 1 takes 2.00 us, with 2 1.94; B 7.16 and 7.03 */

typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));

TIDE_INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
TIDE_INLINE vf vabs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
TIDE_INLINE vf vclamp(vf a, float limit) {
  return _mm256_min_ps(_mm256_max_ps(a, _mm256_set1_ps(-limit)), _mm256_set1_ps(limit));
}

#include "halves_256.inc"

/* One frame's codes are an array of int16. */
TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  (void)m;
  const __m256i v = (__m256i)values;
  const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  memcpy(codes + 2 * at, &packed, sizeof packed);
}

typedef struct sums {
  __m256i of[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *starts, const int width, const int planes) {
  (void)starts, (void)planes;
#pragma GCC unroll 8
  for (int v = 0; v < width; v++) s->of[v] = _mm256_setzero_si256();
}

TIDE_INLINE __m256i broadcast_pair(const uint8_t *codes) {
  int32_t pair;
  memcpy(&pair, codes, sizeof pair);
  return _mm256_set1_epi32(pair);
}

TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  for (uint32_t k = from; k < to; k++) {
    const __m256i x = broadcast_pair(codes + 4 * (size_t)k);
    for (int v = 0; v < width; v++) {
      const __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(weights + 16 * v)));
      s->of[v] = _mm256_add_epi32(s->of[v], _mm256_madd_epi16(w, x));
    }
    weights += 16 * width;
  }
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  const __m256i half = _mm256_set1_epi16(15), eight = _mm256_set1_epi16(8);
  for (uint32_t k = from; k < to; k += 2) {
    const __m256i x = broadcast_pair(codes + 4 * (size_t)k), next = broadcast_pair(codes + 4 * (size_t)k + 4);
    for (int v = 0; v < width; v++) {
      const __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(weights + 16 * v)));
      const __m256i w = _mm256_sub_epi16(_mm256_and_si256(both, half), eight);
      const __m256i w_next = _mm256_sub_epi16(_mm256_srli_epi16(both, 4), eight);
      const __m256i products = _mm256_add_epi32(_mm256_madd_epi16(w, x), _mm256_madd_epi16(w_next, next));
      s->of[v] = _mm256_add_epi32(s->of[v], products);
    }
    weights += 16 * width;
  }
}

TIDE_INLINE vi madd(const int8_t *weights, const uint8_t *codes) {
  const __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)weights);
  return (vi)_mm256_madd_epi16(w, broadcast_pair(codes));
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  (void)planes;
  return (vi)s->of[v];
}

static int variant_supported(void) { return __builtin_cpu_supports("avx2") != 0; }

#include "packed/packed.inc"

TIDE_TARGET_END
#endif
