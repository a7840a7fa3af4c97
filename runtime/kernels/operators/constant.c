/* The first vector, for each frame of the input. The count is its length. */
#include <string.h>

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->counts[0], .timed = in[0].timed};
}

static int check(const plan_check *c) { return plan_vector_ok(c, 0, "constant", c->op.counts[0], 1); }

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state, (void)in;
  for (size_t t = 0; t < frames; t++) memcpy(out + t * op->width, op->vectors[0], op->width * sizeof *out);
  return 1;
}

const tide_operator tide_operator_constant = {
    .name = "constant", .inputs = 1, .unread = 1, .bounded = 1, .shape = shape, .check = check, .run = run};
