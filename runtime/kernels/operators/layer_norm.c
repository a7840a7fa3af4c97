/* (x - mean) / sqrt(variance + epsilon) * scale + bias over the features of a frame. */
#include "../src/functions.h"
#include "../src/operators.h"

enum { SCALE, BIAS };

static int check(const plan_check *c) {
  return plan_vector_ok(c, SCALE, "scale", c->out.width, 1) && plan_vector_ok(c, BIAS, "bias", c->out.width, 1) &&
         plan_number_ok(c, 0, "epsilon") && plan_equal(c, "epsilon below 0", c->op.numbers[0] < 0.0f, 0);
}

static void frame(const model_op *op, const float *x, float *out) {
  const size_t n = op->width;
  const float *scale = op->vectors[SCALE], *bias = op->vectors[BIAS];
  const float mean = tide_sum(x, n) / (float)n;
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_flush(x[i]) - mean);
  const float variance = tide_flush(tide_sum_square(out, n) / (float)n);
  const float deviation = sqrtf(variance + op->numbers[0]);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_flush(out[i] / deviation) * scale[i] + bias[i]);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  for (size_t t = 0; t < frames; t++) frame(op, in[0] + t * op->width, out + t * op->width);
  return tide_in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_layer_norm = {
    .name = "layer_norm", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
