/* Reduces all features of a frame to one. */
#include "reduce.h"

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return (plan_shape){.width = 1, .timed = in[0].timed};
}

static int check(const plan_check *c) { return plan_within(c, "function", c->op.function, 1, REDUCE_COUNT); }

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const size_t width = op->in_widths[0];
  tide_reduce *const reduce = scratch->variant->reduce[op->function - 1];
  for (size_t t = 0; t < frames; t++) out[t] = reduce(in[0] + t * width, width);
  return scratch->variant->in_range(out, frames);
}

const tide_operator tide_operator_reduce = {.name = "reduce", .inputs = 1, .shape = shape, .check = check, .run = run};
