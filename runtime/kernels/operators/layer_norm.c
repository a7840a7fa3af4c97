/* (x - mean) / sqrt(variance + epsilon) * scale + bias over the features of a frame. */
#include "../src/operators.h"

enum { SCALE, BIAS };

static int check(const plan_check *c) {
  return plan_vector_ok(c, SCALE, "scale", c->out.width, 1) && plan_vector_ok(c, BIAS, "bias", c->out.width, 1) &&
         plan_number_ok(c, 0, "epsilon") && plan_equal(c, "epsilon below 0", c->op.numbers[0] < 0.0f, 0);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  for (size_t t = 0; t < frames; t++) {
    scratch->variant->layer_norm(in[0] + t * op->width, op->width, op->vectors[SCALE], op->vectors[BIAS],
                                 op->numbers[0], out + t * op->width);
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_layer_norm = {
    .name = "layer_norm", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
