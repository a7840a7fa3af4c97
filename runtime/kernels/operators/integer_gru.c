/* A layer of a GRU in integers. Its state is h; the second vector of its record is the recurrent bias of the
 * candidate. */
#include "integer_cell.h"

static int check(const plan_check *c) {
  return integer_cell_check(c, 3) && plan_integers_ok(c, 1, "candidate bias", c->out.width, -MOST_SUM, MOST_SUM);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  (void)variant;
  return integer_cell_size(op, 1);
}

/* Gates in the order z, r, n. */
static int32_t run_unit(const model_op *op, const tide_variant *variant, op_state *state, uint32_t u, const int16_t *x,
                        const int16_t *h) {
  (void)state;
  const uint32_t units = op->width;
  const int32_t exponent = op->matrices[R].exponent;
  int32_t gates[3], own[3];
  tide_fixed_sums(&op->matrices[W], variant, u, units, 3, x, GATE, gates);
  tide_fixed_sums(&op->matrices[R], variant, u, units, 3, h, GATE, own);
  for (uint32_t k = 0; k < 3; k++) gates[k] += integers_of(op, 0)[k * units + u];
  own[2] += integers_of(op, 1)[u];
  const int32_t update = tide_fixed_sigmoid(gates[0] + own[0]), reset = tide_fixed_sigmoid(gates[1] + own[1]);
  const int32_t heard = (int32_t)(((int64_t)reset * own[2] + (1 << (UNIT - 1))) >> UNIT);
  const int32_t candidate = tide_fixed_tanh(gates[2] + heard);
  const int32_t before = h[tide_place(variant->swapped, u, units)] * (1 << (UNIT - exponent));
  return tide_rounded(((1 << UNIT) - update) * candidate + update * before, 2 * UNIT - exponent);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  integer_cell_run(op, scratch, state, in[0], frames, out, run_unit);
  return 1;
}

const tide_operator tide_operator_integer_gru = {.name = "integer_gru",
                                                 .inputs = 1,
                                                 .vectors = 1,
                                                 .bounded = 1,
                                                 .shape = integer_cell_shape,
                                                 .check = check,
                                                 .prepare = integer_cell_prepare,
                                                 .size = size,
                                                 .derive = integer_cell_derive,
                                                 .vector = integer_cell_vector,
                                                 .run = run};
