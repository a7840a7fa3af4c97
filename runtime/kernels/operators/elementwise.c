/* A function of a value and a constant, feature by feature. */
#include "../src/functions.h"
#include "../src/operators.h"

/* Every function of x and the constant c; a plan's function numbers count from 1 in this order. */
#define FUNCTIONS(F)    \
  F(add, x + c)         \
  F(sub, x - c)         \
  F(mul, x *c)          \
  F(div, x / c)         \
  F(from, c - x)        \
  F(into, c / x)        \
  F(max, x > c ? x : c) \
  F(min, x < c ? x : c) \
  F(prelu, x < 0.0f ? x * c : x)

enum {
  FUNCTION_0,
#define F(name, expression) FUNCTION_##name,
  FUNCTIONS(F)
#undef F
      FUNCTION_COUNT
};

#define F(name, expression)                                                                   \
  static void each_##name(const float *in, size_t width, const float *constant, float *out) { \
    for (size_t i = 0; i < width; i++) {                                                      \
      const float x = tide_flush(in[i]), c = constant[i];                                     \
      out[i] = tide_flush(expression);                                                        \
    }                                                                                         \
  }
FUNCTIONS(F)
#undef F

static void (*const EACH[])(const float *, size_t, const float *, float *) = {
#define F(name, expression) each_##name,
    FUNCTIONS(F)
#undef F
};

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, FUNCTION_COUNT - 1) &&
         plan_vector_ok(c, 0, "constant", c->out.width, c->op.function != FUNCTION_div);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  for (size_t t = 0; t < frames; t++) {
    EACH[op->function - 1](in[0] + t * op->width, op->width, op->vectors[0], out + t * op->width);
  }
  return tide_in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_elementwise = {
    .name = "elementwise", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
