/* A layer of a GRU with options: activations, a clip, the reset gate before or after the product. Its state is h; the
 * second vector of its record ends with the recurrent bias of the candidate.
 *
 * The candidate's rows of r are a matrix of their own, because with the reset gate first they multiply r * h. */
#include "cell_options.h"

enum { R_GATES = R, R_CANDIDATE = P };

/* h is a weighted mean of the candidate and the old h if the gates are within [0, 1]. */
static int is_bounded(const plan_op *op) {
  return option_activation(op->function, GATE) <= FROM_ZERO_TO_ONE &&
         option_activation(op->function, CANDIDATE) <= WITHIN_ONE;
}

static int check(const plan_check *c) {
  const uint32_t units = c->out.width;
  return plan_timed(c) && plan_matrix_ok(c, W, 3 * units, c->in[0].width) && plan_matrix_ok(c, R, 3 * units, units) &&
         plan_reading_ok(c, R, option_reading(is_bounded(&c->op))) && plan_vector_ok(c, 0, "bias", 3 * units, 1) &&
         options_ok(c, 2, RESET_FIRST, units) && plan_initial_ok(c, 0, units);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  const uint32_t units = source->matrices[R].columns;
  const plan_matrix gates = option_rows(&source->matrices[R], 0, 2 * units);
  const plan_matrix candidate = option_rows(&source->matrices[R], 2 * units, units);
  op->matrices[W] = option_pack(arena, &source->matrices[W], source->vectors[0], variant);
  op->matrices[R_GATES] = option_pack(arena, &gates, NULL, variant);
  op->matrices[R_CANDIDATE] = option_pack(arena, &candidate, NULL, variant);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  return option_size(op, variant, 3, op->width, op->width);
}

/* The share of h in the candidate's sums, times or of the reset gate `r`: into the room's rows. */
static int candidate(const model_op *op, const tide_variant *variant, const option_room *room, const float *r,
                     const float *h) {
  const size_t n = op->width;
  const float *bias = op->vectors[1] + OPTION_NUMBERS;
  if (option_flags(op->function) & RESET_FIRST) {
    for (size_t i = 0; i < n; i++) room->units[i] = r[i] * h[i];
    if (!variant->in_range(room->units, n)) return 0;
    option_product(&op->matrices[R_CANDIDATE], variant, room->units, room);
    return 1;
  }
  if (!variant->in_range(r, n)) return 0;
  option_product(&op->matrices[R_CANDIDATE], variant, h, room);
  for (size_t i = 0; i < n; i++) room->rows[i] = r[i] * (room->rows[i] + bias[i]);
  return 1;
}

static int step(const model_op *op, const tide_variant *variant, const option_room *room, const float *gates_x,
                float *h) {
  const size_t units = op->width;
  float *z = room->gates, *r = z + units, *n = r + units;
  option_product(&op->matrices[R_GATES], variant, h, room);
  for (size_t i = 0; i < 2 * units; i++) z[i] = gates_x[i] + room->rows[i];
  option_gates(op, variant, GATE, z, 2 * units);
  if (!candidate(op, variant, room, r, h)) return 0;
  for (size_t i = 0; i < units; i++) n[i] = gates_x[2 * units + i] + room->rows[i];
  option_gates(op, variant, CANDIDATE, n, units);
  for (size_t i = 0; i < units; i++) h[i] = tide_flush((1.0f - z[i]) * n[i] + z[i] * h[i]);
  return variant->in_range(h, units);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  return option_run(op, scratch, state, in[0], frames, out, 3, op->width, step);
}

const tide_operator tide_operator_gru_with_options = {.name = "gru_with_options",
                                                      .inputs = 1,
                                                      .vectors = 1,
                                                      .shape = option_shape,
                                                      .check = check,
                                                      .prepare = prepare,
                                                      .size = size,
                                                      .vector = option_h,
                                                      .run = run};
