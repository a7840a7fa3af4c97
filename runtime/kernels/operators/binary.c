/* A function of two values of equal widths. A value of width 1 is used for every feature of the other. */
#include "binary.h"

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return in[0].width > in[1].width ? in[0] : (plan_shape){.width = in[1].width, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  const int broadcast = c->in[0].width == 1 || c->in[1].width == 1;
  return plan_within(c, "function", c->op.function, 1, BINARY_COUNT) && plan_same_times(c) &&
         (broadcast || plan_equal(c, "width of the second input", c->in[1].width, c->in[0].width));
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const size_t a = op->in_widths[0], b = op->in_widths[1];
  tide_binary *const each = scratch->variant->binary[op->function - 1];
  for (size_t t = 0; t < frames; t++) {
    each(in[0] + t * a, a > 1, in[1] + t * b, b > 1, op->width, out + t * op->width);
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_binary = {.name = "binary", .inputs = 2, .shape = shape, .check = check, .run = run};
