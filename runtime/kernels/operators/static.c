/* The state itself, for each frame of the input; only tide_state_write changes it. The count is its length. */
#include <string.h>

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)in;
  return (plan_shape){.width = op->counts[0], .timed = 1};
}

static int check(const plan_check *c) { return plan_timed(c) && plan_initial_ok(c, 0, c->op.counts[0]); }

static op_vector vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  (void)variant, (void)index;
  return (op_vector){0, op->counts[0]};
}

static op_size size(const model_op *op, const tide_variant *variant) {
  (void)variant;
  return (op_size){op->counts[0], 0};
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)in;
  for (size_t t = 0; t < frames; t++) memcpy(out + t * op->width, state->floats, op->width * sizeof *out);
  return 1;
}

const tide_operator tide_operator_static = {.name = "static",
                                            .inputs = 1,
                                            .vectors = 1,
                                            .unread = 1,
                                            .bounded = 1,
                                            .shape = shape,
                                            .check = check,
                                            .size = size,
                                            .vector = vector,
                                            .run = run};
