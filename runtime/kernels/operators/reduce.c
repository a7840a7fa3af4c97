/* Reduces the features of each part of a frame to one. The count is the features of a part; 0: all. */
#include "reduce.h"

#include "part.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->counts[0] ? in[0].width / op->counts[0] : 1, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, REDUCE_COUNT) && tide_part_ok(c);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const size_t part = tide_part(op), parts = (size_t)frames * op->width;
  tide_reduce *const reduce = scratch->variant->reduce[op->function - 1];
  for (size_t i = 0; i < parts; i++) out[i] = reduce(in[0] + i * part, part);
  return scratch->variant->in_range(out, parts);
}

const tide_operator tide_operator_reduce = {.name = "reduce", .inputs = 1, .shape = shape, .check = check, .run = run};
