/* A layer of an LSTM. Its state is h, then c. */
#include "cell.h"

static int check(const plan_check *c) { return cell_check(c, 4, READ_HIDDEN) && plan_initial_ok(c, 1, c->out.width); }

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  cell_prepare(arena, source, variant, op, 4, NULL);
}

static op_size size(const model_op *op, const tide_variant *variant) { return cell_size(op, variant, 2); }

static void run_rows(const model_op *op, const op_scratch *scratch, op_state *const *states, uint32_t rows,
                     const float *in, uint32_t frames, float *out) {
  cell_run_rows(op, scratch, states, rows, in, frames, out, scratch->variant->lstm_step);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  run_rows(op, scratch, &state, 1, in[0], frames, out);
  return 1;
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
                                          .run = run,
                                          .run_rows = run_rows};
