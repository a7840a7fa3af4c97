/* A function of a value and a constant, feature by feature. */
#include "elementwise.h"

#include "../src/operators.h"

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, ELEMENTWISE_COUNT) &&
         plan_vector_ok(c, 0, "constant", c->out.width, c->op.function != ELEMENTWISE_div + 1);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  tide_elementwise *const each = scratch->variant->elementwise[op->function - 1];
  for (size_t t = 0; t < frames; t++) {
    each(in[0] + t * op->width, op->width, op->vectors[0], out + t * op->width);
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_elementwise = {
    .name = "elementwise", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
