/* Plain C: complete, always built, runs everywhere. */
#include "variant.h"

#define VARIANT scalar
#define SWAPPED 0

TIDE_INLINE void add_bytes(int32_t *sums, const int8_t *w, size_t stride, const int rows, const int16_t *x,
                           uint32_t count) {
  for (int i = 0; i < rows; i++, w += stride) {
    int32_t sum = 0;
    for (uint32_t k = 0; k < count; k++) sum += w[k] * x[k];
    sums[i] += sum;
  }
}

static int variant_supported(void) { return 1; }

#include "in_place.inc"
