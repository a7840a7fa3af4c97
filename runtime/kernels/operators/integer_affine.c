/* x s + b for each feature, in integers. s is the first vector and b the second; the counts of the record are the
 * exponents of the answer and of x. */
#include "../src/fixed.h"
#include "../src/operators.h"

enum { ANSWER, INPUT };

static int check(const plan_check *c) {
  return plan_exponent_ok(c, ANSWER, "exponent") && plan_exponent_ok(c, INPUT, "exponent of the input") &&
         plan_scales_ok(c, 0, "scale", c->out.width) &&
         plan_integers_ok(c, 1, "bias", c->out.width, -MOST_SUM, MOST_SUM);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const int32_t *bias = (const int32_t *)(const void *)op->vectors[1];
  const int32_t from = (int32_t)op->counts[INPUT], to = (int32_t)op->counts[ANSWER];
  const float *x = in[0];
  for (uint32_t t = 0; t < frames; t++, x += op->width, out += op->width) {
    for (uint32_t i = 0; i < op->width; i++) {
      const int32_t sum = tide_scaled(tide_code(x + i, from, MOST_VALUE), op->vectors[0] + i, to - from);
      tide_value(tide_clipped(sum + bias[i], MOST_VALUE), to, out + i);
    }
  }
  return 1;
}

const tide_operator tide_operator_integer_affine = {
    .name = "integer_affine", .inputs = 1, .bounded = 1, .shape = tide_same_shape, .check = check, .run = run};
