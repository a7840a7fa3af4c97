/* W x for the frames of a block. */
#include "operators.h"

size_t tide_project(const op_scratch *scratch, const tide_matrix *w, const float *x, uint32_t frames, float *rows) {
  const tide_variant *variant = scratch->variant;
  for (uint32_t t = 0; t < frames; t++) {
    scratch->scales[t] = variant->encode(w, x + (size_t)t * w->columns, scratch->codes + (size_t)t * w->code_bytes);
  }
  variant->project(w, scratch->codes, scratch->scales, frames, rows);
  return (size_t)w->vectors * variant->lanes;
}
