/* Softmax over the features of a frame, or its logarithm. */
#include "softmax.h"

#include "../src/operators.h"

static int check(const plan_check *c) { return plan_within(c, "function", c->op.function, 1, SOFTMAX_COUNT); }

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  tide_softmax *const frame = scratch->variant->softmax[op->function - 1];
  for (size_t t = 0; t < frames; t++) {
    frame(in[0] + t * op->width, op->width, out + t * op->width);
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_softmax = {
    .name = "softmax", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
