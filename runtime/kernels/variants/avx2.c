/* AVX2. */
#include "variant.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "x86.h"

static int variant_supported(void) { return x86_has(X86_AVX2); }

TIDE_TARGET_BEGIN("avx2")

#define VARIANT avx2
#define LANES 8
#define DEPTHS {{4, 4}, {4, 2}}
#define PANEL 8
#define WOVEN(bits, planes) 0

#include "avx_floats.inc"

typedef int16_t vs __attribute__((vector_size(32)));

TIDE_INLINE vs widened(const int8_t *p) {
  return (vs)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

TIDE_INLINE vi multiply_words(vs a, vs b) { return (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b); }
TIDE_INLINE vs multiply_bytes(vi a, vi b) { return (vs)_mm256_maddubs_epi16((__m256i)a, (__m256i)b); }

#define ADD(sum, bits, x) ((sum) += (x))

#include "pairs.inc"

TIDE_TARGET_END
#endif
