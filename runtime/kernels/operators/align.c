/* Delays rows of the second input until the first input has as many: a branch next to one that looks ahead waits for it
 * here. */
#include <string.h>

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)op;
  return (plan_shape){.width = in[1].width, .timed = 1};
}

static int check(const plan_check *c) {
  return plan_timed(c) && plan_equal(c, "second input has a time axis", (uint64_t)c->in[1].timed, 1) &&
         plan_equal(c, "second input's clock leads",
                    (uint64_t)tide_clock_leads(c->clocks, c->in[1].clock, c->in[0].clock), 1);
}

static int flow(const model_op *op, const op_scratch *scratch, op_state *state, op_flow *flow) {
  (void)scratch;
  op_held *held = &state->held;
  const uint32_t width = op->width, count = flow->rows[0];
  tide_hold(op, held, width, flow->in[1], flow->rows[1]);
  memcpy(flow->out, held->rows + (size_t)held->first * width, (size_t)count * width * sizeof *flow->out);
  held->first += count, held->count -= count;
  flow->made = count;
  return 1;
}

const tide_operator tide_operator_align = {
    .name = "align", .inputs = 2, .bounded = 1, .holds = 2, .shape = shape, .check = check, .flow = flow};
