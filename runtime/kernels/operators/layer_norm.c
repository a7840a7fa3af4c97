/* (x - mean) / sqrt(variance + epsilon) * scale + bias over the features of each part of a frame. The count is the
 * features of a part; 0: all. */
#include "part.h"

enum { SCALE, BIAS };

static int check(const plan_check *c) {
  return plan_vector_ok(c, SCALE, "scale", c->out.width, 1) && plan_vector_ok(c, BIAS, "bias", c->out.width, 1) &&
         plan_number_ok(c, 0, "epsilon") && plan_equal(c, "epsilon below 0", c->op.numbers[0] < 0.0f, 0) &&
         tide_part_ok(c);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const size_t part = tide_part(op);
  const float *x = in[0];
  for (size_t t = 0; t < frames; t++) {
    for (size_t at = 0; at < op->width; at += part, x += part, out += part) {
      scratch->variant->layer_norm(x, part, op->vectors[SCALE] + at, op->vectors[BIAS] + at, op->numbers[0], out);
    }
  }
  const size_t count = (size_t)frames * op->width;
  return scratch->variant->in_range(out - count, count);
}

const tide_operator tide_operator_layer_norm = {
    .name = "layer_norm", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
