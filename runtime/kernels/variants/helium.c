/* Cortex-M with vectors (M55, M85): eight products of 16 bits an instruction; what is left over is masked. */
#include "../src/kernels.h"
#include "../src/target.h"

#if TIDE_HAS_HELIUM
#include <arm_mve.h>

#define VARIANT helium
#define PLACE(k, columns) (k)

TIDE_INLINE void add_bytes(int32_t *sums, const int8_t *w, size_t stride, const int rows, const int16_t *x,
                           uint32_t count) {
  for (uint32_t k = 0; k < count; k += 8) {
    const mve_pred16_t left = vctp16q(count - k);
    const int16x8_t codes = vldrhq_z_s16(x + k, left);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
      sums[i] = vmladavaq_s16(sums[i], vldrbq_z_s16(w + (size_t)i * stride + k, left), codes);
    }
  }
}

static int variant_supported(void) { return 1; }

#include "../src/rows.inc"

#endif
