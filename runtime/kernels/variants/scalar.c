/* Plain C: complete, always built, runs anywhere. */
#include <math.h>
#include <string.h>

#include "../src/kernels.h"
#include "../src/target.h"

#define VARIANT scalar
#define LANES 1
#define DEPTH 1
#define PANEL 4
#define CENTRE4 0
#define CENTRE8 0
#define PLAIN /* nothing runs side by side */

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

TIDE_INLINE void start_sums(sums *s, const int32_t *starts, const int width, const int planes) {
  (void)starts, (void)planes;
  for (int v = 0; v < width; v++) s->of[v] = (vi){0};
}

TIDE_INLINE void add_bytes(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                           uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  const int16_t *x = (const int16_t *)(const void *)codes;
  for (uint32_t k = from; k < to; k++) {
    for (int v = 0; v < width; v++) s->of[v] += *weights++ * x[k];
  }
}

TIDE_INLINE void add_nibbles(sums *s, const tide_matrix *m, const int8_t *weights, const uint8_t *codes, uint32_t from,
                             uint32_t to, const int width, const int planes) {
  (void)m, (void)planes;
  const int16_t *x = (const int16_t *)(const void *)codes;
  for (uint32_t k = from; k < to; k += 2) {
    for (int v = 0; v < width; v++) {
      const uint8_t pair = (uint8_t)*weights++;
      s->of[v] += ((pair & 15) - 8) * x[k] + ((pair >> 4) - 8) * x[k + 1];
    }
  }
}

TIDE_INLINE vi madd(const int8_t *weights, const uint8_t *codes) {
  int16_t w[2], x[2];
  memcpy(w, weights, sizeof w);
  memcpy(x, codes, sizeof x);
  return (vi){w[0] * x[0] + w[1] * x[1]};
}

TIDE_INLINE vi sum_of(const sums *s, int v, const int planes) {
  (void)planes;
  return s->of[v];
}

static int variant_supported(void) { return 1; }

#include "../src/step.inc"
