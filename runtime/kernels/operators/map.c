/* A function of one value, feature by feature. */
#include "../src/functions.h"
#include "../src/operators.h"

/* Every function of x and the operation's numbers n; a plan's function numbers count from 1 in this order. */
#define FUNCTIONS(F)                                      \
  F(relu, x > 0.0f ? x : 0.0f)                            \
  F(leaky_relu, x < 0.0f ? x * n[0] : x)                  \
  F(tanh, tide_tanh(x))                                   \
  F(sigmoid, tide_sigmoid(x))                             \
  F(hard_sigmoid, tide_clamp(x *n[0] + n[1], 0.0f, 1.0f)) \
  F(erf, tide_erf(x))                                     \
  F(gelu, tide_gelu(x))                                   \
  F(gelu_tanh, tide_gelu_tanh(x))                         \
  F(sqrt, sqrtf(x))                                       \
  F(abs, fabsf(x))                                        \
  F(neg, -x)                                              \
  F(exp, tide_exp(x))                                     \
  F(log, tide_log(x))                                     \
  F(reciprocal, 1.0f / x)                                 \
  F(square, x *x)

#define F(name, expression)                                                            \
  static void each_##name(const float *in, size_t count, const float *n, float *out) { \
    (void)n;                                                                           \
    for (size_t i = 0; i < count; i++) {                                               \
      const float x = tide_flush(in[i]);                                               \
      out[i] = tide_flush(expression);                                                 \
    }                                                                                  \
  }
FUNCTIONS(F)
#undef F

static void (*const EACH[])(const float *, size_t, const float *, float *) = {
#define F(name, expression) each_##name,
    FUNCTIONS(F)
#undef F
};

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, sizeof EACH / sizeof *EACH) &&
         plan_number_ok(c, 0, "first number") && plan_number_ok(c, 1, "second number");
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t count = (size_t)frames * op->width;
  EACH[op->function - 1](in[0], count, op->numbers, out);
  return tide_in_range(out, count);
}

const tide_operator tide_operator_map = {
    .name = "map", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
