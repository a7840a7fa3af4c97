/* x op constant, feature by feature. */
#include <math.h>

#include "../src/operators.h"

enum { ADD = 1, SUB, MUL, DIV };

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return in[0];
}

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, ADD, DIV) &&
         plan_vector_ok(c, 0, "constant", c->out.width, c->op.function != DIV);
}

/* Values below 2^-60 become +0 before and after a float operation; NaN stays, for the range check to find. */
static float without_tiny(float x) { return fabsf(x) < 0x1p-60f ? 0.0f : x; }

static float apply(uint32_t function, float x, float constant) {
  switch (function) {
    case ADD:
      return x + constant;
    case SUB:
      return x - constant;
    case MUL:
      return x * constant;
    default:
      return x / constant;
  }
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  for (size_t t = 0; t < frames; t++) {
    for (size_t i = 0; i < op->width; i++) {
      const size_t at = t * op->width + i;
      out[at] = without_tiny(apply(op->function, without_tiny(in[0][at]), op->vectors[0][i]));
    }
  }
  return tide_in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_elementwise = {
    .name = "elementwise", .inputs = 1, .shape = shape, .check = check, .run = run};
