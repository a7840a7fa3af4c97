/* A layer of a GRU. Its state is h; the second vector of its record is the recurrent bias of the candidate. */
#include "cell.h"

static int check(const plan_check *c) {
  return cell_check(c, 3, READ_HIDDEN) && plan_vector_ok(c, 1, "candidate bias", c->out.width, 1);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  cell_prepare(arena, source, variant, op, 3, source->vectors[1]);
}

static op_size size(const model_op *op, const tide_variant *variant) { return cell_size(op, variant, 1); }

static void run_rows(const model_op *op, const op_scratch *scratch, op_state *const *states, uint32_t rows,
                     const float *in, uint32_t frames, float *out) {
  cell_run_rows(op, scratch, states, rows, in, frames, out, scratch->variant->gru_step);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  run_rows(op, scratch, &state, 1, in[0], frames, out);
  return 1;
}

const tide_operator tide_operator_gru = {.name = "gru",
                                         .inputs = 1,
                                         .vectors = 1,
                                         .bounded = 1,
                                         .shape = cell_shape,
                                         .check = check,
                                         .prepare = prepare,
                                         .size = size,
                                         .derive = cell_derive,
                                         .vector = cell_vector,
                                         .run = run,
                                         .run_rows = run_rows};
