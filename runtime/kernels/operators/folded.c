/* A recurrent layer over the steps of several rows of a frame, [steps, rows, features]. All rows have the same weights;
 * each has a state of its own, which is carried to the next frame or starts from zeros in each frame.
 *
 * Callers see the states of all rows one after another: first h of each row, then c. The cells keep them in their own
 * form in the bytes of the state. */
#include <string.h>

#include "cells.h"

enum { STEPS = CELL + 1, ROWS, CARRIED };
enum { ROW_VALUES = 64 }; /* what a row takes besides its state and its codes */

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  const tide_operator *cell = cell_of(op->counts[CELL]);
  const uint64_t width = cell ? cell->shape(op, in).width : 1, places = (uint64_t)op->counts[STEPS] * op->counts[ROWS];
  const int fits = places <= PLAN_MAX_WIDTH && places * width <= PLAN_MAX_WIDTH;
  return (plan_shape){.width = fits ? (uint32_t)(places * width) : PLAN_MAX_WIDTH + 1, .timed = 1};
}

/* The work of a frame and the memory of a stream are bounded as those of convolutions and of windows are. */
static int costs_ok(const plan_check *c, uint64_t places) {
  for (int m = 0; m < PLAN_MATRICES; m++) {
    c->totals->products += places * c->op.matrices[m].rows * c->op.matrices[m].columns;
  }
  c->totals->tails += (uint64_t)c->op.counts[ROWS] * (c->op.matrices[1].rows + ROW_VALUES);
  return plan_within(c, "products of all convolutions", c->totals->products, 0, PLAN_MAX_PRODUCTS) &&
         plan_within(c, "tails of all windows", c->totals->tails, 0, PLAN_MAX_TAIL);
}

static int check(const plan_check *c) {
  const tide_operator *cell = cell_of(c->op.counts[CELL]);
  const uint64_t places = (uint64_t)c->op.counts[STEPS] * c->op.counts[ROWS];
  if (!cell) return plan_refuse(c, "cell", c->op.counts[CELL], CELL_KINDS);
  if (!plan_within(c, "steps and rows", places, 1, c->in[0].width) ||
      !plan_equal(c, "features of all steps and rows", c->in[0].width % places, 0) ||
      !plan_within(c, "carried", c->op.counts[CARRIED], 0, 1)) {
    return 0;
  }
  plan_check own = *c;
  own.in[0].width = (uint32_t)(c->in[0].width / places), own.out.width = (uint32_t)(c->out.width / places);
  own.rows = c->op.counts[ROWS];
  return cell->check(&own) && costs_ok(c, places);
}

static uint32_t vectors_of(const plan_op *op) { return op->counts[CARRIED] ? cell_of(op->counts[CELL])->vectors : 0; }

/* ---- the rows ---- */

/* The operation of one row at one step. */
static model_op row_op(const model_op *op) {
  const uint32_t places = op->counts[STEPS] * op->counts[ROWS];
  model_op one = *op;
  one.width /= places, one.in_widths[0] /= places;
  return one;
}

/* State vector `index` of a row. */
static op_vector own_vector(const model_op *one, const tide_variant *variant, uint32_t index) {
  return cell_of(one->counts[CELL])->vector(one, variant, index);
}

static op_vector vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  const model_op one = row_op(op);
  const size_t before = index ? own_vector(&one, variant, 0).count : 0, rows = op->counts[ROWS];
  return (op_vector){rows * before, (uint32_t)rows * own_vector(&one, variant, index).count};
}

/* Lays out the states of the rows. A cell whose bytes only hold values of one step has them once for all rows. */
static op_state *lay_rows(tide_arena *arena, const model_op *one, const tide_variant *variant) {
  const tide_operator *cell = cell_of(one->counts[CELL]);
  const uint32_t rows = one->counts[ROWS];
  const op_size each = cell->size(one, variant);
  op_state *states = tide_take(arena, rows * sizeof *states);
  float *floats = tide_take(arena, rows * each.floats * sizeof *floats);
  uint8_t *bytes = NULL;
  for (uint32_t i = 0; i < rows; i++) {
    if (!i || cell->derive) bytes = tide_take(arena, each.bytes);
    if (states) states[i].floats = floats + i * each.floats, states[i].bytes = bytes;
  }
  return states;
}

static op_state *rows_of(const model_op *one, const tide_variant *variant, const op_state *state) {
  tide_arena arena = {.base = state->bytes};
  return lay_rows(&arena, one, variant);
}

static op_size size(const model_op *op, const tide_variant *variant) {
  tide_arena arena = {0};
  const model_op one = row_op(op);
  size_t floats = 0;
  lay_rows(&arena, &one, variant);
  for (uint32_t i = 0; i < op->vectors_seen; i++) floats += vector(op, variant, i).count;
  return (op_size){floats, arena.used};
}

/* ---- the states that callers see, and those of the rows ---- */

static void derive_rows(const model_op *one, const tide_variant *variant, op_state *rows) {
  const tide_operator *cell = cell_of(one->counts[CELL]);
  for (uint32_t i = 0; cell->derive && i < one->counts[ROWS]; i++) cell->derive(one, variant, &rows[i]);
}

static void copy_states(const model_op *op, const model_op *one, const tide_variant *variant, op_state *rows,
                        float *seen, int into_rows) {
  for (uint32_t v = 0; v < op->vectors_seen; v++) {
    const op_vector own = own_vector(one, variant, v);
    for (uint32_t i = 0; i < op->counts[ROWS]; i++, seen += own.count) {
      float *kept = rows[i].floats + own.first;
      memcpy(into_rows ? kept : seen, into_rows ? seen : kept, own.count * sizeof *seen);
    }
  }
}

static void derive(const model_op *op, const tide_variant *variant, op_state *state) {
  const model_op one = row_op(op);
  op_state *rows = rows_of(&one, variant, state);
  copy_states(op, &one, variant, rows, state->floats, 1);
  derive_rows(&one, variant, rows);
}

static void start_from_zeros(const model_op *one, const tide_variant *variant, op_state *rows) {
  const size_t floats = cell_of(one->counts[CELL])->size(one, variant).floats;
  memset(rows[0].floats, 0, one->counts[ROWS] * floats * sizeof(float));
  derive_rows(one, variant, rows);
}

/* ---- frames ---- */

/* Runs `count` rows one step, or one row `count` steps: their inputs are adjacent, at most a block of them. */
static int run_piece(const model_op *one, const op_scratch *scratch, op_state *rows, uint32_t count, const float *in,
                     float *out) {
  const tide_operator *cell = cell_of(one->counts[CELL]);
  if (one->counts[ROWS] == 1) return cell->run(one, scratch, rows, &in, count, out);
  if (cell->run_rows) {
    op_state *states[MOST_BLOCK];
    for (uint32_t i = 0; i < count; i++) states[i] = &rows[i];
    cell->run_rows(one, scratch, states, count, in, 1, out);
    return 1;
  }
  for (uint32_t i = 0; i < count; i++) {
    const float *own = in + (size_t)i * one->in_widths[0];
    if (!cell->run(one, scratch, &rows[i], &own, 1, out + (size_t)i * one->width)) return 0;
  }
  return 1;
}

static int run_frame(const model_op *one, const op_scratch *scratch, op_state *rows, const float *in, float *out) {
  const uint32_t across = one->counts[ROWS] > 1 ? one->counts[ROWS] : one->counts[STEPS];
  const uint32_t turns = one->counts[ROWS] > 1 ? one->counts[STEPS] : 1, most = scratch->variant->block;
  for (uint32_t turn = 0; turn < turns; turn++) {
    for (uint32_t first = 0; first < across; first += most) {
      const uint32_t count = across - first < most ? across - first : most;
      const size_t at = (size_t)turn * across + first;
      op_state *own = one->counts[ROWS] > 1 ? rows + first : rows;
      if (!run_piece(one, scratch, own, count, in + at * one->in_widths[0], out + at * one->width)) return 0;
    }
  }
  return 1;
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  const model_op one = row_op(op);
  op_state *rows = rows_of(&one, scratch->variant, state);
  for (uint32_t t = 0; t < frames; t++) {
    if (!op->counts[CARRIED]) start_from_zeros(&one, scratch->variant, rows);
    const float *frame = in[0] + (size_t)t * op->in_widths[0];
    if (!run_frame(&one, scratch, rows, frame, out + (size_t)t * op->width)) return 0;
  }
  copy_states(op, &one, scratch->variant, rows, state->floats, 0);
  return 1;
}

const tide_operator tide_operator_folded = {.name = "folded",
                                            .inputs = 1,
                                            .vectors_of = vectors_of,
                                            .shape = shape,
                                            .check = check,
                                            .prepare = prepare_cell,
                                            .size = size,
                                            .derive = derive,
                                            .vector = vector,
                                            .run = run};
