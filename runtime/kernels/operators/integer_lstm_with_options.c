/* A layer of an LSTM in integers, with options: a clip, coupled gates, peepholes. Its state is h, then c; the second
 * vector of its record holds the exponents of c, then the peepholes of the gates i, o, f. */
#include "integer_options.h"

/* Exponents of c are 0 to UNIT; plan_integers_ok has one pair of limits for all integers of a vector. */
static int exponents_ok(const plan_check *c) {
  const uint32_t units = c->out.width, peepholes = c->op.function & PEEPHOLES ? 3 * units : 0;
  if (!plan_integers_ok(c, 1, "exponents of c and peepholes", (uint64_t)units + peepholes, -MOST_STATE, MOST_STATE)) {
    return 0;
  }
  for (uint32_t u = 0; u < units; u++) {
    const uint32_t exponent = plan_bits_at(c->op.vectors[1], u);
    if (exponent > UNIT) return plan_refuse(c, "exponents of c", exponent, UNIT);
  }
  return plan_exponent_ok(c, PEEPHOLE_EXPONENT, "exponent of the peepholes");
}

static int check(const plan_check *c) {
  return integer_cell_check(c, 4) && integer_options_ok(c, COUPLED | PEEPHOLES, 0) && exponents_ok(c) &&
         plan_initial_ok(c, 1, c->out.width);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  (void)variant;
  return integer_cell_size(op, 2);
}

/* The share of c in the sum of gate i, o or f of a unit. */
static int32_t of_c(const model_op *op, uint32_t gate, uint32_t u, int32_t c) {
  if (!(op->function & PEEPHOLES)) return 0;
  const int32_t weight = integers_of(op, 1)[(1 + gate) * op->width + u], exponent = integers_of(op, 1)[u];
  return tide_shifted((int64_t)weight * c, exponent + (int32_t)op->counts[PEEPHOLE_EXPONENT] - GATE);
}

static int32_t gate_of(const model_op *op, int32_t sum) { return tide_fixed_sigmoid(integer_clipped(op, sum)); }

/* Gates in the order i, o, f, c. */
static int32_t run_unit(const model_op *op, const tide_variant *variant, op_state *state, uint32_t u, const int16_t *x,
                        const int16_t *h) {
  const uint32_t units = op->width;
  int32_t gates[4], own[4];
  tide_fixed_sums(&op->matrices[W], variant, u, units, 4, x, GATE, gates);
  tide_fixed_sums(&op->matrices[R], variant, u, units, 4, h, GATE, own);
  for (uint32_t k = 0; k < 4; k++) gates[k] += own[k] + integers_of(op, 0)[k * units + u];
  const int32_t exponent = integers_of(op, 1)[u];
  float *at = state->floats + units + u;
  int32_t c = tide_code(at, exponent, MOST_STATE);
  const int32_t input = gate_of(op, gates[0] + of_c(op, 0, u, c));
  const int32_t forget = op->function & COUPLED ? (1 << UNIT) - input : gate_of(op, gates[2] + of_c(op, 2, u, c));
  const int32_t candidate = tide_fixed_tanh(integer_clipped(op, gates[3]));
  const int32_t added = tide_rounded(input * candidate, UNIT - exponent);
  c = tide_clipped(tide_rounded(forget * c + added, UNIT), MOST_STATE);
  tide_value(c, exponent, at);
  const int32_t output = gate_of(op, gates[1] + of_c(op, 1, u, c));
  return tide_rounded(output * tide_fixed_tanh(c * (1 << (GATE - exponent))), 2 * UNIT - op->matrices[R].exponent);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  integer_cell_run(op, scratch, state, in[0], frames, out, run_unit);
  return 1;
}

const tide_operator tide_operator_integer_lstm_with_options = {.name = "integer_lstm_with_options",
                                                               .inputs = 1,
                                                               .vectors = 2,
                                                               .bounded = 1,
                                                               .shape = integer_cell_shape,
                                                               .check = check,
                                                               .prepare = integer_cell_prepare,
                                                               .size = size,
                                                               .derive = integer_cell_derive,
                                                               .vector = integer_cell_vector,
                                                               .run = run};
