/* Features in any order. The counts are the features of a part and the number of parts; the vector is int32: the first
 * feature of each part, or -1 for zeros. */
#include <string.h>

#include "../src/operators.h"

enum { RUN, PARTS };

/* A width that does not fit into 32 bits becomes one that is too large for a plan. */
static plan_shape shape(const plan_op *op, const plan_shape *in) {
  const uint64_t width = (uint64_t)op->counts[RUN] * op->counts[PARTS];
  return (plan_shape){.width = width <= PLAN_MAX_WIDTH ? (uint32_t)width : PLAN_MAX_WIDTH + 1, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  const uint32_t run = c->op.counts[RUN], width = c->in[0].width;
  return plan_within(c, "run", run, 1, width) &&
         plan_integers_ok(c, 0, "places", c->op.counts[PARTS], -1, (int32_t)(width - run));
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const int32_t *places = (const int32_t *)(const void *)op->vectors[0];
  const size_t length = op->counts[RUN], parts = op->counts[PARTS];
  const float *x = in[0];
  for (size_t t = 0; t < frames; t++, x += op->in_widths[0]) {
    for (size_t i = 0; i < parts; i++, out += length) {
      if (places[i] < 0) memset(out, 0, length * sizeof *out);
      else if (length == 1) *out = x[places[i]];
      else memcpy(out, x + places[i], length * sizeof *out);
    }
  }
  return 1;
}

const tide_operator tide_operator_take = {
    .name = "take", .inputs = 1, .bounded = 1, .shape = shape, .check = check, .run = run};
