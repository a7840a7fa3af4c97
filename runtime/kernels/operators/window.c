/* The taps of a convolution along time. For each channel: its values at the frame `lookahead` frames ahead and at
 * `dilation`, 2 * dilation, ... frames before it, the oldest first. The state is the tail: the last frames that were
 * read, [channels, frames]. Before and after a stream there are zeros. Channels may stay together, in twos or more:
 * then the last axis of the answers and of the tail counts them. */
#include <string.h>

#include "../src/operators.h"

enum { KERNEL, DILATION, LOOKAHEAD, OTHERS }; /* OTHERS: channels that stay together, less 1 */

static uint64_t together(const uint32_t *counts) { return (uint64_t)counts[OTHERS] + 1; }

/* Frames of the tail. */
static uint64_t reach(const uint32_t *counts) { return (uint64_t)(counts[KERNEL] - 1) * counts[DILATION]; }

/* A width that does not fit into 32 bits becomes one that is too large for a plan. */
static plan_shape shape(const plan_op *op, const plan_shape *in) {
  const uint64_t width = (uint64_t)op->counts[KERNEL] * in[0].width;
  return (plan_shape){.width = width <= PLAN_MAX_WIDTH ? (uint32_t)width : PLAN_MAX_WIDTH + 1, .timed = 1};
}

static int check(const plan_check *c) {
  const uint32_t *n = c->op.counts;
  if (!plan_timed(c) || !plan_within(c, "kernel", n[KERNEL], 2, PLAN_MAX_WIDTH) ||
      !plan_within(c, "dilation", n[DILATION], 1, PLAN_MAX_TAIL)) {
    return 0;
  }
  if (!plan_within(c, "channels together", together(n), 1, c->in[0].width) ||
      !plan_equal(c, "channels together in the input", c->in[0].width % together(n), 0)) {
    return 0;
  }
  const uint64_t tail = reach(n) * c->in[0].width;
  c->totals->tails += tail;
  return plan_within(c, "tail", tail, 1, PLAN_MAX_TAIL) &&
         plan_within(c, "tails of all windows", c->totals->tails, 0, PLAN_MAX_TAIL) &&
         plan_within(c, "lookahead", n[LOOKAHEAD], 0, reach(n)) && plan_initial_ok(c, 0, tail);
}

static uint32_t clock(const plan_op *op, const plan_shape *in, tide_clocks *clocks) {
  return tide_clock_behind(clocks, in[0].clock, op->counts[LOOKAHEAD]);
}

static op_vector vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  (void)variant, (void)index;
  return (op_vector){0, (uint32_t)reach(op->counts) * op->in_widths[0]};
}

static op_size size(const model_op *op, const tide_variant *variant) {
  return (op_size){vector(op, variant, 0).count, 0};
}

/* Takes `count` values of a channel, `step` frames apart; those of channels that stay together alternate. Frames are
 * counted from the start of the tail: first the tail's, then the block's `x`; NULL: zeros. */
static void take(const model_op *op, const float *tail, const float *x, size_t channel, size_t from, size_t step,
                 size_t count, float *out) {
  const size_t carried = (size_t)reach(op->counts), channels = op->in_widths[0], each = (size_t)together(op->counts);
  const size_t there = from < carried ? (carried - from + step - 1) / step : 0, past = there < count ? there : count;
  for (size_t k = 0; k < past; k++) out[k * each] = tail[(from + k * step) * each];
  for (size_t k = past; k < count; k++) out[k * each] = x ? x[(from + k * step - carried) * channels + channel] : 0.0f;
}

/* Moves the tail on by `frames` frames. */
static void advance(const model_op *op, float *tail, const float *x, size_t frames) {
  const size_t carried = (size_t)reach(op->counts), each = (size_t)together(op->counts);
  for (size_t i = 0; i < op->in_widths[0]; i += each, tail += each * carried) {
    for (size_t k = 0; k < each; k++) take(op, tail + k, x, i + k, frames, 1, carried, tail + k);
  }
}

/* Writes the answer of frame `t` of the block `x`. */
static void answer(const model_op *op, const float *tail, const float *x, size_t t, float *out) {
  const size_t carried = (size_t)reach(op->counts), each = (size_t)together(op->counts), kernel = op->counts[KERNEL];
  for (size_t i = 0; i < op->in_widths[0]; i += each, tail += each * carried, out += each * kernel) {
    for (size_t k = 0; k < each; k++) take(op, tail + k, x, i + k, t, op->counts[DILATION], kernel, out + k);
  }
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch;
  for (size_t t = 0; t < frames; t++) answer(op, state->floats, in[0], t, out + t * op->width);
  advance(op, state->floats, in[0], frames);
  return 1;
}

/* Frames read so far, zeros after the stream included: at the end of a stream, all up to the first answer at once, then
 * one for each answer. */
static uint64_t position(const model_op *op, const op_state *state) {
  const uint64_t answered = state->made ? state->made + op->counts[LOOKAHEAD] : 0;
  return answered > state->read ? answered : state->read;
}

/* Reads frames, or a frame of zeros; drops answers for frames before the stream. */
static void read_frames(const model_op *op, const op_scratch *scratch, op_state *state, const float *x, uint32_t count,
                        uint64_t before, op_flow *flow) {
  const uint64_t missing = op->counts[LOOKAHEAD] > before ? op->counts[LOOKAHEAD] - before : 0;
  const uint32_t dropped = missing < count ? (uint32_t)missing : count, made = count - dropped;
  float *out = flow->out + (size_t)flow->made * op->width;
  run(op, scratch, state, &x, count, out);
  memmove(out, out + (size_t)dropped * op->width, (size_t)made * op->width * sizeof *out);
  flow->made += made;
}

static int flow(const model_op *op, const op_scratch *scratch, op_state *state, op_flow *flow) {
  const uint64_t before = position(op, state);
  if (flow->rows[0]) read_frames(op, scratch, state, flow->in[0], flow->rows[0], before, flow);
  if (!flow->closing) return 1;
  const uint64_t all = state->read + flow->rows[0];
  for (uint64_t at = before + flow->rows[0]; flow->made < scratch->variant->block && state->made + flow->made < all;
       at++) {
    const uint64_t unanswered = op->counts[LOOKAHEAD] > at ? op->counts[LOOKAHEAD] - at : 0;
    if (unanswered) advance(op, state->floats, NULL, (size_t)unanswered); /* at once, because there may be a million */
    at += unanswered;
    read_frames(op, scratch, state, NULL, 1, at, flow);
  }
  flow->more = state->made + flow->made < all;
  return 1;
}

const tide_operator tide_operator_window = {.name = "window",
                                            .inputs = 1,
                                            .vectors = 1,
                                            .bounded = 1,
                                            .shape = shape,
                                            .clock = clock,
                                            .check = check,
                                            .size = size,
                                            .vector = vector,
                                            .run = run,
                                            .flow = flow};
