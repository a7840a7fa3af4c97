/* A function of one value, feature by feature. */
#include "map.h"

#include "../src/operators.h"

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, MAP_COUNT) && plan_number_ok(c, 0, "first number") &&
         plan_number_ok(c, 1, "second number");
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const size_t count = (size_t)frames * op->width;
  scratch->variant->map[op->function - 1](in[0], count, op->numbers, out);
  return scratch->variant->in_range(out, count);
}

const tide_operator tide_operator_map = {
    .name = "map", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
