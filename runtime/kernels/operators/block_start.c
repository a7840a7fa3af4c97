/* Gives for every row of a block the block's first row: after a backward cell that is its final h. No block is half
 * done between pushes, so there is no state. */
#include <string.h>

#include "../src/operators.h"

static int check(const plan_check *c) {
  const tide_clock *clock = &c->clocks->at[c->in[0].clock];
  return plan_timed(c) && plan_equal(c, "input comes in blocks", clock->parent != NO_CLOCK && clock->delay == 0, 1);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  (void)variant;
  return (op_size){0, op->width * sizeof(float)};
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch;
  const size_t bytes = op->width * sizeof *out;
  for (size_t t = 0; t < frames; t++) {
    if (state->given == 0) memcpy(state->bytes, in[0] + t * op->width, bytes);
    memcpy(out + t * op->width, state->bytes, bytes);
    state->given = (state->given + 1) % op->block;
  }
  return 1;
}

const tide_operator tide_operator_block_start = {.name = "block_start",
                                                 .inputs = 1,
                                                 .bounded = 1,
                                                 .shape = tide_same_shape,
                                                 .check = check,
                                                 .size = size,
                                                 .run = run};
