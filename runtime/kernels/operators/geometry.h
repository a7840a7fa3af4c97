/* Where a convolution inside a frame reads: a frame is [channels, height, width]. The counts of its record are the
 * answers (height, width); its second vector is int32, five pairs of height and width. */
#ifndef TIDE_GEOMETRY_H
#define TIDE_GEOMETRY_H

#include "../src/operators.h"

enum { ANSWERS_HEIGHT, ANSWERS_WIDTH };
enum { BIAS, GEOMETRY };

typedef struct tide_geometry {
  int32_t size[2], kernel[2], stride[2], dilation[2], before[2];
} tide_geometry;

enum { GEOMETRY_VALUES = 10 };

static inline const tide_geometry *tide_geometry_of(const float *vector) {
  return (const tide_geometry *)(const void *)vector;
}

/* Answers of each output channel. */
static inline uint64_t tide_answers(const uint32_t *counts) {
  return (uint64_t)counts[ANSWERS_HEIGHT] * counts[ANSWERS_WIDTH];
}

/* A width that does not fit into 32 bits becomes one that is too large for a plan. */
static inline plan_shape tide_convolved_shape(const plan_op *op, const plan_shape *in) {
  const uint64_t answers = tide_answers(op->counts), rows = op->matrices[0].rows;
  const int fits = answers <= PLAN_MAX_WIDTH && answers * rows <= PLAN_MAX_WIDTH;
  return (plan_shape){.width = fits ? (uint32_t)(answers * rows) : PLAN_MAX_WIDTH + 1, .timed = in[0].timed};
}

/* Pair `index` of the geometry in a plan. */
static inline void tide_read_pair(const plan_check *c, uint32_t index, int32_t *pair) {
  for (uint32_t i = 0; i < 2; i++) pair[i] = (int32_t)plan_bits_at(c->op.vectors[GEOMETRY], 2 * index + i);
}

/* Checks the geometry: every field is small, and the frame is the input. Writes the channels and the taps. */
static inline int tide_geometry_ok(const plan_check *c, uint32_t *channels, uint32_t *taps) {
  int32_t size[2], kernel[2], positive[2];
  if (!plan_integers_ok(c, GEOMETRY, "geometry", GEOMETRY_VALUES, 0, PLAN_MAX_WIDTH)) return 0;
  for (uint32_t index = 0; index < 4; index++) { /* only `before` may be 0 */
    tide_read_pair(c, index, positive);
    for (int i = 0; i < 2; i++) {
      if (positive[i] < 1) return plan_refuse(c, "geometry", 0, 1);
    }
  }
  tide_read_pair(c, 0, size), tide_read_pair(c, 1, kernel);
  const uint64_t area = (uint64_t)size[0] * (uint64_t)size[1], each = (uint64_t)kernel[0] * (uint64_t)kernel[1];
  if (!plan_within(c, "size of the frame", area, 1, c->in[0].width) ||
      !plan_equal(c, "size of the frame in the input", c->in[0].width % area, 0) ||
      !plan_within(c, "taps", each, 1, PLAN_MAX_WIDTH)) {
    return 0;
  }
  *channels = (uint32_t)(c->in[0].width / area), *taps = (uint32_t)each;
  c->totals->products += (uint64_t)c->op.matrices[0].columns * c->out.width;
  return plan_within(c, "products of all convolutions", c->totals->products, 0, PLAN_MAX_PRODUCTS);
}

/* The taps of one axis that lie within the frame, first and past the last, for the answer whose first tap is at `at`.
 */
static inline int32_t tide_first_tap(int32_t at, int32_t dilation) {
  return at < 0 ? (-at + dilation - 1) / dilation : 0;
}

static inline int32_t tide_past_tap(int32_t at, int32_t dilation, int32_t kernel, int32_t size) {
  const int32_t past = at < size ? (size - at + dilation - 1) / dilation : 0;
  return past < kernel ? past : kernel;
}

#endif
