/* A function of two values of equal widths; one of width 1 serves every feature of the other. */
#include "../src/functions.h"
#include "../src/operators.h"

/* Every function of a and b; a plan's function numbers count from 1 in this order. */
#define FUNCTIONS(F)    \
  F(add, a + b)         \
  F(sub, a - b)         \
  F(mul, a *b)          \
  F(div, a / b)         \
  F(max, a > b ? a : b) \
  F(min, a < b ? a : b)

/* Steps of 0 repeat a value of width 1. */
#define F(name, expression)                                                                                         \
  static void each_##name(const float *x, size_t x_step, const float *y, size_t y_step, size_t width, float *out) { \
    for (size_t i = 0; i < width; i++) {                                                                            \
      const float a = tide_flush(x[i * x_step]), b = tide_flush(y[i * y_step]);                                     \
      out[i] = tide_flush(expression);                                                                              \
    }                                                                                                               \
  }
FUNCTIONS(F)
#undef F

static void (*const EACH[])(const float *, size_t, const float *, size_t, size_t, float *) = {
#define F(name, expression) each_##name,
    FUNCTIONS(F)
#undef F
};

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return in[0].width > in[1].width ? in[0] : (plan_shape){.width = in[1].width, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  const int broadcast = c->in[0].width == 1 || c->in[1].width == 1;
  return plan_within(c, "function", c->op.function, 1, sizeof EACH / sizeof *EACH) && plan_same_times(c) &&
         (broadcast || plan_equal(c, "width of the second input", c->in[1].width, c->in[0].width));
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t a = op->in_widths[0], b = op->in_widths[1];
  for (size_t t = 0; t < frames; t++) {
    EACH[op->function - 1](in[0] + t * a, a > 1, in[1] + t * b, b > 1, op->width, out + t * op->width);
  }
  return tide_in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_binary = {.name = "binary", .inputs = 2, .shape = shape, .check = check, .run = run};
