/* The features of one value, then those of another. */
#include <string.h>

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return (plan_shape){.width = in[0].width + in[1].width, .timed = in[0].timed};
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t a = op->in_widths[0], b = op->in_widths[1];
  for (size_t t = 0; t < frames; t++) {
    memcpy(out + t * op->width, in[0] + t * a, a * sizeof *out);
    memcpy(out + t * op->width + a, in[1] + t * b, b * sizeof *out);
  }
  return 1;
}

const tide_operator tide_operator_concat = {
    .name = "concat", .inputs = 2, .bounded = 1, .shape = shape, .check = plan_same_times, .run = run};
