/* All features of a frame to one. */
#include "../src/functions.h"
#include "../src/operators.h"

/* Every function of a frame x of n features; a plan's function numbers count from 1 in this order. */
#define FUNCTIONS(F)                   \
  F(sum, tide_sum(x, n))               \
  F(mean, tide_sum(x, n) / (float)n)   \
  F(max, tide_max(x, n))               \
  F(min, tide_min(x, n))               \
  F(sum_square, tide_sum_square(x, n)) \
  F(l2, sqrtf(tide_sum_square(x, n)))

#define F(name, expression) \
  static float reduce_##name(const float *x, size_t n) { return expression; }
FUNCTIONS(F)
#undef F

static float (*const REDUCE[])(const float *, size_t) = {
#define F(name, expression) reduce_##name,
    FUNCTIONS(F)
#undef F
};

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return (plan_shape){.width = 1, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, sizeof REDUCE / sizeof *REDUCE);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t width = op->in_widths[0];
  for (size_t t = 0; t < frames; t++) out[t] = tide_flush(REDUCE[op->function - 1](in[0] + t * width, width));
  return tide_in_range(out, frames);
}

const tide_operator tide_operator_reduce = {.name = "reduce", .inputs = 1, .shape = shape, .check = check, .run = run};
