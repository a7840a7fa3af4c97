/* A layer of a GRU in integers whose reset gate comes before the product, perhaps with a clip. Its state is h. A step
 * first computes the codes of reset * h of all units, which are a third set of codes in the bytes of the state. */
#include "integer_options.h"

static int check(const plan_check *c) {
  return integer_cell_check(c, 3) && integer_options_ok(c, RESET_FIRST, RESET_FIRST);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  (void)variant;
  const op_size two = integer_cell_size(op, 1);
  return (op_size){two.floats, two.bytes + op->matrices[R].code_bytes};
}

/* The sum of a gate of a unit, its number in the order z, r, n; R multiplies `h`. */
static int32_t sum_of(const model_op *op, const tide_variant *variant, uint32_t gate, uint32_t u, const int16_t *x,
                      const int16_t *h) {
  const uint32_t row = gate * op->width + u;
  int32_t sum, own;
  tide_fixed_sums(&op->matrices[W], variant, row, 1, 1, x, GATE, &sum);
  tide_fixed_sums(&op->matrices[R], variant, row, 1, 1, h, GATE, &own);
  return integer_clipped(op, sum + own + integers_of(op, 0)[row]);
}

static void reset_units(const model_op *op, const tide_variant *variant, const int16_t *x, const int16_t *h,
                        int16_t *heard) {
  for (uint32_t u = 0; u < op->width; u++) {
    const uint32_t place = tide_place(variant->swapped, u, op->width);
    heard[place] = (int16_t)tide_rounded(tide_fixed_sigmoid(sum_of(op, variant, 1, u, x, h)) * h[place], UNIT);
  }
}

static int32_t run_unit(const model_op *op, const tide_variant *variant, op_state *state, uint32_t u, const int16_t *x,
                        const int16_t *h) {
  int16_t *heard = integer_cell_codes(op, state, 2);
  if (u == 0) reset_units(op, variant, x, h, heard);
  const int32_t exponent = op->matrices[R].exponent;
  const int32_t update = tide_fixed_sigmoid(sum_of(op, variant, 0, u, x, h));
  const int32_t candidate = tide_fixed_tanh(sum_of(op, variant, 2, u, x, heard));
  const int32_t before = h[tide_place(variant->swapped, u, op->width)] * (1 << (UNIT - exponent));
  return tide_rounded(((1 << UNIT) - update) * candidate + update * before, 2 * UNIT - exponent);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  integer_cell_run(op, scratch, state, in[0], frames, out, run_unit);
  return 1;
}

const tide_operator tide_operator_integer_gru_with_options = {.name = "integer_gru_with_options",
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
