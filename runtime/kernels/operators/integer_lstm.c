/* A layer of an LSTM in integers. Its state is h, then c; the second vector of its record holds the exponents of c. */
#include "integer_cell.h"

static int check(const plan_check *c) {
  return integer_cell_check(c, 4) && plan_integers_ok(c, 1, "exponents of c", c->out.width, 0, UNIT) &&
         plan_initial_ok(c, 1, c->out.width);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  (void)variant;
  return integer_cell_size(op, 2);
}

/* Gates in the order i, o, f, c. */
static int32_t run_unit(const model_op *op, const tide_variant *variant, op_state *state, uint32_t u, const int16_t *x,
                        const int16_t *h) {
  const uint32_t units = op->width;
  int32_t gates[4], own[4];
  tide_fixed_sums(&op->matrices[W], variant, u, units, 4, x, GATE, gates);
  tide_fixed_sums(&op->matrices[R], variant, u, units, 4, h, GATE, own);
  for (uint32_t k = 0; k < 4; k++) gates[k] += own[k] + integers_of(op, 0)[k * units + u];
  const int32_t input = tide_fixed_sigmoid(gates[0]), output = tide_fixed_sigmoid(gates[1]);
  const int32_t forget = tide_fixed_sigmoid(gates[2]), candidate = tide_fixed_tanh(gates[3]);
  const int32_t exponent = integers_of(op, 1)[u];
  float *at = state->floats + units + u;
  const int32_t added = tide_rounded(input * candidate, UNIT - exponent);
  const int32_t kept = forget * tide_code(at, exponent, MOST_STATE);
  const int32_t c = tide_clipped(tide_rounded(kept + added, UNIT), MOST_STATE);
  tide_value(c, exponent, at);
  return tide_rounded(output * tide_fixed_tanh(c * (1 << (GATE - exponent))), 2 * UNIT - op->matrices[R].exponent);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  integer_cell_run(op, scratch, state, in[0], frames, out, run_unit);
  return 1;
}

const tide_operator tide_operator_integer_lstm = {.name = "integer_lstm",
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
