/* A layer of an LSTM. Its state is h, then c, padded to whole vectors; the bytes are the codes of h, two sets:
 * one is read in a step, the other written. */
#include <string.h>

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)in;
  return (plan_shape){op->matrices[1].columns, 1};
}

static int check(const plan_check *c) {
  const uint32_t hidden = c->out.width;
  return plan_timed(c) && plan_matrix_ok(c, 0, 4 * hidden, c->in[0].width) &&
         plan_matrix_ok(c, 1, 4 * hidden, hidden) &&
         plan_equal(c, "r.reading", c->op.matrices[1].reading, READ_HIDDEN) &&
         plan_vector_ok(c, 0, "bias", 4 * hidden, 1);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  op->matrices[0] = tide_pack(arena, &source->matrices[0], source->vectors[0], 4, variant);
  op->matrices[1] = tide_pack(arena, &source->matrices[1], NULL, 4, variant);
}

static size_t padded_units(const model_op *op, const tide_variant *variant) {
  return (size_t)op->matrices[1].vectors / 4 * variant->lanes;
}

static op_size size(const model_op *op, const tide_variant *variant) {
  return (op_size){2 * padded_units(op, variant), 2 * (size_t)op->matrices[1].code_bytes};
}

static uint8_t *codes(const model_op *op, const op_state *state, int turn) {
  return state->bytes + (size_t)turn * op->matrices[1].code_bytes;
}

static void derive(const model_op *op, const tide_variant *variant, op_state *state) {
  variant->encode(&op->matrices[1], state->floats, codes(op, state, state->turn));
}

static const float *vector(const model_op *op, const tide_variant *variant, const op_state *state, uint32_t index) {
  return state->floats + index * padded_units(op, variant);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  const tide_variant *variant = scratch->variant;
  float *h = state->floats, *c = h + padded_units(op, variant);
  const size_t stride = tide_project(scratch, &op->matrices[0], in[0], frames);
  for (uint32_t t = 0; t < frames; t++) {
    const int turn = state->turn;
    variant->lstm_step(&op->matrices[1], scratch->rows + t * stride, codes(op, state, turn), h, c,
                       codes(op, state, 1 - turn), turn);
    state->turn = 1 - turn;
    memcpy(out + (size_t)t * op->width, h, op->width * sizeof *out);
  }
  return 1;
}

const tide_operator tide_operator_lstm = {.name = "lstm",
                                          .inputs = 1,
                                          .vectors = 2,
                                          .bounded = 1,
                                          .shape = shape,
                                          .check = check,
                                          .prepare = prepare,
                                          .size = size,
                                          .derive = derive,
                                          .vector = vector,
                                          .run = run};
