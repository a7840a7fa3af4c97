/* Plain C: complete, always built, runs anywhere. */
#include <math.h>
#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

#define VARIANT scalar
#define LANES 1
#define DEPTH 1
#define PANEL 4
#define CODE_OFFSET 0

typedef float vf __attribute__((vector_size(4)));
typedef int32_t vi __attribute__((vector_size(4)));

TIDE_INLINE vf vmin(vf a, vf b) { return a[0] < b[0] ? a : b; }
TIDE_INLINE vf vmax(vf a, vf b) { return a[0] > b[0] ? a : b; }
TIDE_INLINE vf vabs(vf a) { return (vf){fabsf(a[0])}; }

/* One frame's codes are an array of int16. */
TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  (void)m;
  ((int16_t *)(void *)codes)[at] = (int16_t)values[0];
}

TIDE_INLINE void dot(const int8_t *weights, const tide_matrix *m, const uint8_t *codes, const int32_t *start, vi *sums,
                     const int width) {
  const int16_t *x = (const int16_t *)(const void *)codes;
  for (int v = 0; v < width; v++) sums[v] = (vi){start[v]};
  for (uint32_t k = 0; k < m->groups; k++) {
    for (int v = 0; v < width; v++) sums[v] += *weights++ * x[k];
  }
}

static int variant_supported(void) { return 1; }

#include "../src/step.inc"
