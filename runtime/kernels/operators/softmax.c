/* Softmax over the features of each part of a frame, or its logarithm. The count is the features of a part; 0: all. */
#include "softmax.h"

#include "part.h"

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, SOFTMAX_COUNT) && tide_part_ok(c);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const size_t part = tide_part(op), count = (size_t)frames * op->width;
  tide_softmax *const softmax = scratch->variant->softmax[op->function - 1];
  for (size_t at = 0; at < count; at += part) softmax(in[0] + at, part, out + at);
  return scratch->variant->in_range(out, count);
}

const tide_operator tide_operator_softmax = {
    .name = "softmax", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
