/* Some features of a frame. The counts are start, number and stride. */
#include "../src/operators.h"

enum { START, COUNT, STRIDE };

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->counts[COUNT], .timed = in[0].timed};
}

static int check(const plan_check *c) {
  const uint32_t *n = c->op.counts;
  if (!plan_within(c, "stride", n[STRIDE], 1, PLAN_MAX_WIDTH)) return 0;
  const uint64_t last = n[START] + ((uint64_t)n[COUNT] - 1) * n[STRIDE];
  return plan_within(c, "last feature of the slice", last, 0, c->in[0].width - 1);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t stride = op->counts[STRIDE];
  for (size_t t = 0; t < frames; t++) {
    const float *x = in[0] + t * op->in_widths[0] + op->counts[START];
    for (size_t i = 0; i < op->width; i++) out[t * op->width + i] = x[i * stride];
  }
  return 1;
}

const tide_operator tide_operator_slice = {
    .name = "slice", .inputs = 1, .bounded = 1, .shape = shape, .check = check, .run = run};
