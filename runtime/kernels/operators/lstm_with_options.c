/* A layer of an LSTM with options: activations, a clip, peepholes, coupled gates, a projection. Its state is h, then
 * c; its value is h, or the same two. */
#include "cell_options.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  plan_shape made = option_shape(op, in);
  if (option_flags(op->function) & GIVES_C) made.width += op->matrices[W].rows / 4;
  return made;
}

static int is_projected(const plan_op *op) { return op->matrices[P].rows > 0; }

/* Whether o * h(c) stays within [-1, 1]. */
static int is_bounded(const plan_op *op) {
  return option_activation(op->function, GATE) <= WITHIN_ONE && option_activation(op->function, OUTPUT) <= WITHIN_ONE;
}

static int projection_ok(const plan_check *c, uint32_t units) {
  const uint32_t width = c->op.matrices[R].columns;
  if (!is_projected(&c->op)) return plan_equal(c, "r.columns", width, units);
  return plan_matrix_ok(c, P, width, units) && plan_reading_ok(c, P, option_reading(is_bounded(&c->op)));
}

static int check(const plan_check *c) {
  const uint32_t units = c->op.matrices[W].rows / 4, width = c->op.matrices[R].columns;
  const uint64_t peepholes = option_flags(c->op.function) & PEEPHOLES ? 3 * (uint64_t)units : 0;
  const int bounded = is_bounded(&c->op) && !is_projected(&c->op);
  return plan_timed(c) && plan_within(c, "w.rows", units, 1, PLAN_MAX_WIDTH) &&
         plan_within(c, "r.columns", width, 1, PLAN_MAX_WIDTH) && plan_matrix_ok(c, W, 4 * units, c->in[0].width) &&
         plan_matrix_ok(c, R, 4 * units, width) && plan_reading_ok(c, R, option_reading(bounded)) &&
         projection_ok(c, units) && plan_vector_ok(c, 0, "bias", 4 * (uint64_t)units, 1) &&
         options_ok(c, 3, COUPLED | PEEPHOLES | GIVES_C, peepholes) && plan_initial_ok(c, 0, width) &&
         plan_initial_ok(c, 1, units);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  op->matrices[W] = option_pack(arena, &source->matrices[W], source->vectors[0], variant);
  op->matrices[R] = option_pack(arena, &source->matrices[R], NULL, variant);
  if (is_projected(source)) op->matrices[P] = option_pack(arena, &source->matrices[P], NULL, variant);
}

static uint32_t units_of(const model_op *op) { return op->matrices[W].rows / 4; }
static uint32_t width_of(const model_op *op) { return op->matrices[R].columns; } /* of h */

static op_vector vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  (void)variant;
  return index == 0 ? (op_vector){0, width_of(op)} : (op_vector){width_of(op), units_of(op)};
}

static op_size size(const model_op *op, const tide_variant *variant) {
  return option_size(op, variant, 4, units_of(op), (size_t)width_of(op) + units_of(op));
}

/* x[i] += weight[i] * c[i] */
static void peep(float *x, const float *weight, const float *c, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] += weight[i] * c[i];
}

/* The gates i, o, f, c hold their sums. Updates c and writes o * h(c) to `out`; returns 0 if one leaves 2^64. */
static int update(const model_op *op, const tide_variant *variant, float *gates, float *c, float *out) {
  const uint32_t flags = option_flags(op->function);
  const size_t n = units_of(op);
  float *i = gates, *o = i + n, *f = o + n, *g = f + n;
  const float *peepholes = flags & PEEPHOLES ? op->vectors[1] + OPTION_NUMBERS : NULL;
  if (peepholes) peep(i, peepholes, c, n), peep(f, peepholes + 2 * n, c, n);
  option_gates(op, variant, GATE, i, n);
  if (!(flags & COUPLED)) option_gates(op, variant, GATE, f, n);
  option_gates(op, variant, CANDIDATE, g, n);
  for (size_t k = 0; k < n; k++) {
    const float forget = flags & COUPLED ? 1.0f - i[k] : f[k];
    c[k] = tide_flush(forget * c[k] + i[k] * g[k]);
  }
  if (!variant->in_range(c, n)) return 0;
  if (peepholes) peep(o, peepholes + n, c, n);
  option_gates(op, variant, GATE, o, n);
  memcpy(out, c, n * sizeof *out);
  option_activate(op, variant, OUTPUT, out, n);
  for (size_t k = 0; k < n; k++) out[k] = tide_flush(o[k] * out[k]);
  return variant->in_range(out, n);
}

static int step(const model_op *op, const tide_variant *variant, const option_room *room, const float *gates_x,
                float *h) {
  const size_t n = units_of(op);
  option_product(&op->matrices[R], variant, h, room);
  for (size_t i = 0; i < 4 * n; i++) room->gates[i] = gates_x[i] + room->rows[i];
  if (!update(op, variant, room->gates, h + width_of(op), room->units)) return 0;
  const float *answer = room->units;
  if (op->matrices[P].rows) option_product(&op->matrices[P], variant, room->units, room), answer = room->rows;
  for (size_t i = 0; i < width_of(op); i++) h[i] = tide_flush(answer[i]);
  return variant->in_range(h, width_of(op));
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  return option_run(op, scratch, state, in[0], frames, out, 4, units_of(op), step);
}

const tide_operator tide_operator_lstm_with_options = {.name = "lstm_with_options",
                                                       .inputs = 1,
                                                       .vectors = 2,
                                                       .shape = shape,
                                                       .check = check,
                                                       .prepare = prepare,
                                                       .size = size,
                                                       .vector = vector,
                                                       .run = run};
