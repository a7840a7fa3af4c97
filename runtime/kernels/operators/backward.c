/* The backward direction of a recurrent layer. It starts again for each block of the stream, at the end of the block's
 * lookahead, and answers for the frames of the block. It does so when block and lookahead are complete, and at the end
 * of the stream for the rest. */
#include <string.h>

#include "cells.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  const tide_operator *cell = cell_of(op->counts[CELL]);
  return cell ? cell->shape(op, in) : (plan_shape){.width = 1, .timed = 1}; /* refused by the check */
}

static int check(const plan_check *c) {
  const tide_operator *cell = cell_of(c->op.counts[CELL]);
  if (!cell) return plan_refuse(c, "cell", c->op.counts[CELL], CELL_KINDS);
  return cell->check(c) && (c->clocks->block || c->clocks->limit || plan_refuse(c, "limit", 0, 1));
}

static uint32_t clock(const plan_op *op, const plan_shape *in, tide_clocks *clocks) {
  (void)op;
  return tide_clock_in_blocks(clocks, in[0].clock);
}

/* ---- the bytes of the state: the cell's own state, and frames in the order in which it runs ---- */

typedef struct room {
  op_state cell;
  size_t floats; /* floats of the cell's state */
  float *in, *out;
} room;

static room lay_room(tide_arena *arena, const model_op *op, const tide_variant *variant) {
  const op_size size = cell_of(op->counts[CELL])->size(op, variant);
  room made = {.floats = size.floats};
  made.cell.floats = tide_take(arena, size.floats * sizeof(float));
  made.cell.bytes = tide_take(arena, size.bytes);
  made.in = tide_take(arena, (size_t)variant->block * op->in_widths[0] * sizeof(float));
  made.out = tide_take(arena, (size_t)variant->block * op->width * sizeof(float));
  return made;
}

static op_size size(const model_op *op, const tide_variant *variant) {
  tide_arena arena = {0};
  lay_room(&arena, op, variant);
  return (op_size){0, arena.used};
}

/* ---- a block ---- */

/* Runs over the first `frames` held rows from the last to the first; keeps the answers of the first `count`. */
static int run_block(const model_op *op, const op_scratch *scratch, op_state *state, uint32_t frames, uint32_t count) {
  const tide_operator *cell = cell_of(op->counts[CELL]);
  tide_arena arena = {.base = state->bytes};
  room room = lay_room(&arena, op, scratch->variant);
  const uint32_t most = scratch->variant->block;
  const size_t in = op->in_widths[0], width = op->width;
  const float *rows = state->held.rows + state->held.first * in;
  memset(room.cell.floats, 0, room.floats * sizeof(float));
  if (cell->derive) cell->derive(op, scratch->variant, &room.cell);
  for (uint32_t left = frames; left;) {
    const uint32_t piece = left < most ? left : most;
    for (uint32_t i = 0; i < piece; i++) memcpy(room.in + i * in, rows + (left - 1 - i) * in, in * sizeof *rows);
    const float *const inputs[PLAN_INPUTS] = {room.in};
    if (!cell->run(op, scratch, &room.cell, inputs, piece, room.out)) return 0;
    for (uint32_t i = 0; i < piece; i++) {
      const uint32_t row = left - 1 - i;
      if (row < count) memcpy(state->block + row * width, room.out + i * width, width * sizeof *rows);
    }
    left -= piece;
  }
  state->held.first += count, state->held.count -= count;
  state->done = count, state->given = 0;
  return 1;
}

/* Frames that the next block answers for; 0 if it is not complete. `frames` receives the frames that it runs over. */
static uint32_t next_block(const model_op *op, const op_state *state, int closing, uint32_t *frames) {
  const uint32_t held = state->held.count, whole = op->block + op->lookahead;
  *frames = held < whole ? held : whole;
  if (!closing && (op->whole || held < whole)) return 0;
  return held < op->block ? held : op->block;
}

static int flow(const model_op *op, const op_scratch *scratch, op_state *state, op_flow *flow) {
  const size_t width = op->width;
  const uint32_t most = scratch->variant->block;
  uint32_t frames, count;
  tide_hold(op, &state->held, op->in_widths[0], flow->in[0], flow->rows[0]);
  for (;;) {
    const uint32_t left = state->done - state->given, free = most - flow->made, now = left < free ? left : free;
    memcpy(flow->out + flow->made * width, state->block + state->given * width, now * width * sizeof *flow->out);
    flow->made += now, state->given += now;
    count = next_block(op, state, flow->closing, &frames);
    if (flow->made == most || !count) break;
    if (!run_block(op, scratch, state, frames, count)) return 0;
  }
  flow->more = count || state->given < state->done;
  return 1;
}

const tide_operator tide_operator_backward = {.name = "backward",
                                              .inputs = 1,
                                              .holds = 1,
                                              .shape = shape,
                                              .clock = clock,
                                              .check = check,
                                              .prepare = prepare_cell,
                                              .size = size,
                                              .flow = flow};
