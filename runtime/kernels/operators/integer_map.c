/* A function of one value in integers: relu on the bits of floats, tanh and sigmoid as in a gate. */
#include "../src/fixed.h"
#include "../src/operators.h"

enum { RELU = 1, TANH, SIGMOID };

static int check(const plan_check *c) { return plan_within(c, "function", c->op.function, RELU, SIGMOID); }

/* 0 below 2^-60 and for negative values. */
static void relu(const float *x, float *out) {
  int32_t bits;
  memcpy(&bits, x, sizeof bits);
  if (bits < (127 - 60) << 23) bits = 0;
  memcpy(out, &bits, sizeof bits);
}

static void apply(uint32_t function, const float *x, float *out) {
  const int32_t code = tide_code(x, GATE, MOST_VALUE);
  if (function == RELU) relu(x, out);
  else tide_value(function == TANH ? tide_fixed_tanh(code) : tide_fixed_sigmoid(code), UNIT, out);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  for (size_t i = 0; i < (size_t)frames * op->width; i++) apply(op->function, in[0] + i, out + i);
  return 1;
}

const tide_operator tide_operator_integer_map = {
    .name = "integer_map", .inputs = 1, .bounded = 1, .shape = tide_same_shape, .check = check, .run = run};
