/* Softmax over the features of a frame, or its logarithm. */
#include "../src/functions.h"
#include "../src/operators.h"

static void frame_softmax(const float *x, size_t n, float *out) {
  const float most = tide_max(x, n);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_exp(tide_flush(x[i]) - most));
  const float total = tide_sum(out, n);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(out[i] / total);
}

static void frame_log_softmax(const float *x, size_t n, float *out) {
  const float most = tide_max(x, n);
  for (size_t i = 0; i < n; i++) out[i] = tide_flush(tide_exp(tide_flush(x[i]) - most));
  const float total = tide_log(tide_sum(out, n));
  for (size_t i = 0; i < n; i++) out[i] = tide_flush((tide_flush(x[i]) - most) - total);
}

/* Every function; a plan's function numbers count from 1 in this order. */
#define FUNCTIONS(F) \
  F(softmax)         \
  F(log_softmax)

static void (*const FRAME[])(const float *, size_t, float *) = {
#define F(name) frame_##name,
    FUNCTIONS(F)
#undef F
};

static int check(const plan_check *c) {
  return plan_within(c, "function", c->op.function, 1, sizeof FRAME / sizeof *FRAME);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  for (size_t t = 0; t < frames; t++) {
    FRAME[op->function - 1](in[0] + t * op->width, op->width, out + t * op->width);
  }
  return tide_in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_softmax = {
    .name = "softmax", .inputs = 1, .shape = tide_same_shape, .check = check, .run = run};
