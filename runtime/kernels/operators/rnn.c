/* A layer of a plain RNN, with tanh or relu. Its state is h. With relu h has no bound, so its codes are scaled by the
 * largest magnitude of each step. */
#include "cell.h"

enum { RNN_TANH = 1, RNN_RELU = 2 };

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, RNN_TANH, RNN_RELU) &&
         cell_check(c, 1, c->op.function == RNN_RELU ? READ_FRAME : READ_HIDDEN);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  cell_prepare(arena, source, variant, op, 1, NULL);
}

static op_size size(const model_op *op, const tide_variant *variant) { return cell_size(op, variant, 1); }

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  const tide_variant *variant = scratch->variant;
  const size_t stride = tide_project(scratch, &op->matrices[0], in[0], frames, scratch->rows);
  const int relu = op->function == RNN_RELU;
  for (uint32_t t = 0; t < frames; t++) {
    const uint8_t *codes = cell_codes(op, state, state->turn);
    state->turn = 1 - state->turn;
    state->scale = variant->rnn_step(&op->matrices[1], scratch->rows + t * stride, codes, state->scale, relu,
                                     state->floats, cell_codes(op, state, state->turn));
    if (relu && !variant->in_range(state->floats, op->width)) return 0;
    memcpy(out + (size_t)t * op->width, state->floats, op->width * sizeof *out);
  }
  return 1;
}

const tide_operator tide_operator_rnn = {.name = "rnn",
                                         .inputs = 1,
                                         .vectors = 1,
                                         .shape = cell_shape,
                                         .check = check,
                                         .prepare = prepare,
                                         .size = size,
                                         .derive = cell_derive,
                                         .vector = cell_vector,
                                         .run = run};
