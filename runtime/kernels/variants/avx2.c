/* AVX2: weights widened to 16 bits, pairs multiplied and added by vpmaddwd, which cannot overflow here
 * (vpmaddubsw on 8-bit operands saturates at 16 bits and would). */
#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

#if defined(__x86_64__)
#include <immintrin.h>

TIDE_TARGET_BEGIN("avx2")

#define VARIANT avx2
#define LANES 8
#define DEPTH 2
#define PANEL 8
#define CODE_OFFSET 0

typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));

TIDE_INLINE vf vmin(vf a, vf b) { return _mm256_min_ps(a, b); }
TIDE_INLINE vf vmax(vf a, vf b) { return _mm256_max_ps(a, b); }
TIDE_INLINE vf vabs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }

/* One frame's codes are an array of int16. */
TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  (void)m;
  const __m256i v = (__m256i)values;
  const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  memcpy(codes + 2 * at, &packed, sizeof packed);
}

TIDE_INLINE void dot(const int8_t *weights, const tide_matrix *m, const uint8_t *codes, const int32_t *start, vi *sums,
                     const int width) {
  __m256i acc[PANEL];
  for (int v = 0; v < width; v++) acc[v] = _mm256_load_si256((const __m256i *)(const void *)(start + v * LANES));
  for (uint32_t k = 0; k < m->groups; k++) {
    int32_t pair;
    memcpy(&pair, codes + 4 * (size_t)k, sizeof pair);
    const __m256i x = _mm256_set1_epi32(pair);
    for (int v = 0; v < width; v++) {
      const __m256i w = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)(weights + 16 * v)));
      acc[v] = _mm256_add_epi32(acc[v], _mm256_madd_epi16(w, x));
    }
    weights += 16 * width;
  }
  for (int v = 0; v < width; v++) sums[v] = (vi)acc[v];
}

static int variant_supported(void) { return __builtin_cpu_supports("avx2") != 0; }

#include "../src/step.inc"

TIDE_TARGET_END
#endif
