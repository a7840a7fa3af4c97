/* A layer of an LSTM. Its state is h, then c. */
#include "cell.h"

static int check(const plan_check *c) { return cell_check(c, 4, READ_HIDDEN); }

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  cell_prepare(arena, source, variant, op, 4, NULL);
}

static op_size size(const model_op *op, const tide_variant *variant) { return cell_size(op, variant, 2); }

static int step(const model_op *op, const tide_variant *variant, op_state *state, const float *gates_x,
                const uint8_t *codes, uint8_t *next) {
  float *h = state->floats, *c = h + cell_units(op, variant);
  variant->lstm_step(&op->matrices[1], gates_x, codes, h, c, next, state->turn);
  return 1;
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  return cell_run(op, scratch, state, in[0], frames, out, step);
}

const tide_operator tide_operator_lstm = {.name = "lstm",
                                          .inputs = 1,
                                          .vectors = 2,
                                          .bounded = 1,
                                          .shape = cell_shape,
                                          .check = check,
                                          .prepare = prepare,
                                          .size = size,
                                          .derive = cell_derive,
                                          .vector = cell_vector,
                                          .run = run};
