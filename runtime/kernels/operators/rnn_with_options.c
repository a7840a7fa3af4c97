/* A layer of a plain RNN with options: an activation, a clip. Its state is h. */
#include "cell_options.h"

static int check(const plan_check *c) {
  const uint32_t units = c->out.width;
  const int bounded = option_activation(c->op.function, GATE) <= WITHIN_ONE;
  return plan_timed(c) && plan_matrix_ok(c, W, units, c->in[0].width) && plan_matrix_ok(c, R, units, units) &&
         plan_reading_ok(c, R, option_reading(bounded)) && plan_vector_ok(c, 0, "bias", units, 1) &&
         options_ok(c, 1, 0, 0) && plan_initial_ok(c, 0, units);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  op->matrices[W] = option_pack(arena, &source->matrices[W], source->vectors[0], variant);
  op->matrices[R] = option_pack(arena, &source->matrices[R], NULL, variant);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  return option_size(op, variant, 1, op->width, op->width);
}

static int step(const model_op *op, const tide_variant *variant, const option_room *room, const float *gates_x,
                float *h) {
  option_product(&op->matrices[R], variant, h, room);
  for (size_t i = 0; i < op->width; i++) room->gates[i] = gates_x[i] + room->rows[i];
  option_gates(op, variant, GATE, room->gates, op->width);
  for (size_t i = 0; i < op->width; i++) h[i] = tide_flush(room->gates[i]);
  return variant->in_range(h, op->width);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  return option_run(op, scratch, state, in[0], frames, out, 1, op->width, step);
}

const tide_operator tide_operator_rnn_with_options = {.name = "rnn_with_options",
                                                      .inputs = 1,
                                                      .vectors = 1,
                                                      .shape = option_shape,
                                                      .check = check,
                                                      .prepare = prepare,
                                                      .size = size,
                                                      .vector = option_h,
                                                      .run = run};
