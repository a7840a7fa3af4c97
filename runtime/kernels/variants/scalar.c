/* Plain C: complete, always built, runs anywhere. */
#include <math.h>
#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

#define VARIANT scalar
#define LANES 1
#define DEPTH 1
#define PANEL 4
#define CODE_OFFSETS {0, 0}

typedef float vf __attribute__((vector_size(4)));
typedef int32_t vi __attribute__((vector_size(4)));

TIDE_INLINE vf vmax(vf a, vf b) { return a[0] > b[0] ? a : b; }
TIDE_INLINE vf vabs(vf a) { return (vf){fabsf(a[0])}; }
TIDE_INLINE vf vclamp(vf a, float limit) { return (vf){a[0] > limit ? limit : a[0] < -limit ? -limit : a[0]}; }

/* One frame's codes are an array of int16. */
TIDE_INLINE void store_codes(const tide_matrix *m, uint8_t *codes, uint32_t at, vi values) {
  (void)m;
  ((int16_t *)(void *)codes)[at] = (int16_t)values[0];
}

typedef struct sums {
  vi of[PANEL];
} sums;

TIDE_INLINE void start_sums(sums *s, const int32_t *start, const int width, const int planes) {
  (void)planes;
  for (int v = 0; v < width; v++) s->of[v] = (vi){start[v]};
}

TIDE_INLINE void add_products(sums *s, const tide_matrix *m, const int8_t *panel, const uint8_t *codes, uint32_t from,
                              uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  const int16_t *x = (const int16_t *)(const void *)codes;
  for (uint32_t k = from; k < to; k++) {
    for (int v = 0; v < width; v++) s->of[v] += panel[k * (uint32_t)width + (uint32_t)v] * x[k];
  }
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  (void)planes;
  return s->of[v];
}

TIDE_INLINE void add_pair(sums *a, sums *b, const tide_matrix *m, const int8_t *panel, const uint8_t *codes,
                          const int width) {
  add_products(a, m, panel, codes, 0, m->groups, width, 1);
  add_products(b, m, panel, codes + m->code_bytes, 0, m->groups, width, 1);
}

static int variant_supported(void) { return 1; }

#include "../src/step.inc"
