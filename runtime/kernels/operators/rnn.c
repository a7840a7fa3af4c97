/* A layer of a plain RNN, with tanh or relu. Its state is h, which under relu has no bound: then r reads it by each
 * step's largest magnitude. */
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

static int step(const model_op *op, const tide_variant *variant, op_state *state, const float *gates_x,
                const uint8_t *codes, uint8_t *next) {
  const int relu = op->function == RNN_RELU;
  state->scale = variant->rnn_step(&op->matrices[1], gates_x, codes, state->scale, relu, state->floats, next);
  return !relu || variant->in_range(state->floats, op->width);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  return cell_run(op, scratch, state, in[0], frames, out, step);
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
