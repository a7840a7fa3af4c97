#include "late.h"

#include <string.h>

void tide_hold(const model_op *op, op_held *held, uint32_t width, const float *rows, uint32_t count) {
  if (held->first + held->count + count > op->room) {
    memmove(held->rows, held->rows + (size_t)held->first * width, (size_t)held->count * width * sizeof *rows);
    held->first = 0;
  }
  float *end = held->rows + (size_t)(held->first + held->count) * width;
  if (count) memcpy(end, rows, (size_t)count * width * sizeof *rows);
  held->count += count;
}

uint64_t tide_late_room(const tide_clocks *clocks, uint32_t holds, uint32_t in, uint32_t out) {
  const uint64_t ahead = holds == 1 ? clocks->at[in].lag : 0; /* a second input may come without its lag */
  const uint64_t rows = clocks->at[out].lag - ahead + MOST_BLOCK;
  return clocks->limit && rows > clocks->limit ? clocks->limit : rows;
}

int tide_late_stays(const tide_clocks *clocks, const model_op *op) { return op->room == clocks->limit; }

void tide_late_lay(tide_arena *arena, const tide_clocks *clocks, const model_op *op, op_state *state) {
  if (!op->operator->holds) return;
  const size_t bytes = (size_t)op->room * tide_held_width(op) * sizeof(float);
  float *rows = tide_take(arena, bytes);
  float *before = tide_late_stays(clocks, op) ? NULL : tide_take(arena, bytes);
  float *block = tide_take(arena, (size_t)op->block * op->width * sizeof *block);
  if (!state) return;
  state->held.rows = rows, state->before = before, state->block = block;
}

static uint32_t clock_of(const model_op *ops, uint32_t value) { return value ? ops[value - 1].clock : 0; }

static uint64_t read_at(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames) {
  const uint32_t from = op->operator->holds ? op->operator->holds - 1 : 0;
  return tide_clock_rows(clocks, clock_of(ops, op->inputs[from]), frames);
}

uint32_t tide_late_held(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames) {
  if (!op->operator->holds) return 0;
  return (uint32_t)(read_at(clocks, ops, op, frames) - tide_clock_rows(clocks, op->clock, frames));
}

void tide_late_count(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames,
                     op_state *state) {
  state->read = read_at(clocks, ops, op, frames);
  state->made = tide_clock_rows(clocks, op->clock, frames);
  state->held.count = tide_late_held(clocks, ops, op, frames);
  state->done = state->given = 0;
}

void tide_late_save(const tide_clocks *clocks, const model_op *op, uint64_t next, int closing, op_state *state) {
  const op_held *held = &state->held;
  state->saved = state->before && (closing || tide_clock_rows(clocks, op->clock, next) > state->made);
  if (!state->saved) return;
  const size_t width = tide_held_width(op);
  memcpy(state->before, held->rows + held->first * width, held->count * width * sizeof(float));
}

void tide_late_undo(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames,
                    op_state *state) {
  tide_late_count(clocks, ops, op, frames, state);
  if (!op->operator->holds) return;
  op_held *held = &state->held;
  if (state->saved) {
    memcpy(held->rows, state->before, (size_t)held->count * tide_held_width(op) * sizeof(float));
    held->first = 0;
  } else if (!state->before) {
    held->first = (uint32_t)state->made;
  }
}
