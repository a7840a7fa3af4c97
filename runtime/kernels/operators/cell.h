/* What the recurrent cells share: the matrices w and r; a bias of all gates as the first vector; h as the first state
 * vector, padded to whole vectors. The bytes of the state are two sets of codes of h: a step reads one and writes the
 * other. */
#ifndef TIDE_CELL_H
#define TIDE_CELL_H

#include <string.h>

#include "../src/operators.h"

static inline plan_shape cell_shape(const plan_op *op, const plan_shape *in) {
  (void)in;
  return (plan_shape){.width = op->matrices[1].columns, .timed = 1};
}

static inline int cell_check(const plan_check *c, uint32_t gates, plan_reading own) {
  const uint32_t hidden = c->out.width;
  return plan_timed(c) && plan_matrix_ok(c, 0, gates * hidden, c->in[0].width) &&
         plan_matrix_ok(c, 1, gates * hidden, hidden) && plan_reading_ok(c, 1, own) &&
         plan_vector_ok(c, 0, "bias", gates * hidden, 1) && plan_initial_ok(c, 0, hidden);
}

/* `own` is the bias of r; NULL: none. */
static inline void cell_prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op,
                                uint32_t gates, const float *own) {
  op->matrices[0] = tide_pack(arena, &source->matrices[0], source->vectors[0], gates, READS_INPUT, variant);
  op->matrices[1] = tide_pack(arena, &source->matrices[1], own, gates, READS_OWN_H, variant);
}

static inline size_t cell_units(const model_op *op, const tide_variant *variant) {
  return (size_t)op->matrices[1].vectors / op->matrices[1].gates * variant->lanes;
}

static inline op_size cell_size(const model_op *op, const tide_variant *variant, size_t vectors) {
  return (op_size){vectors * cell_units(op, variant), 2 * (size_t)op->matrices[1].code_bytes};
}

static inline uint8_t *cell_codes(const model_op *op, const op_state *state, int turn) {
  return state->bytes + (size_t)turn * op->matrices[1].code_bytes;
}

static inline void cell_derive(const model_op *op, const tide_variant *variant, op_state *state) {
  const tide_matrix *r = &op->matrices[1];
  const float scale = variant->encode(r, state->floats, cell_codes(op, state, state->turn));
  state->scale = r->reading == READ_FRAME ? scale : 1.0f;
}

static inline op_vector cell_vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  return (op_vector){index * cell_units(op, variant), op->width};
}

/* Runs step after step, each of them for all rows. */
static inline void cell_run_rows(const model_op *op, const op_scratch *scratch, op_state *const *states, uint32_t rows,
                                 const float *in, uint32_t frames, float *out, tide_cell_step *step) {
  const size_t stride = tide_project(scratch, &op->matrices[0], in, rows * frames, scratch->rows);
  const size_t units = cell_units(op, scratch->variant);
  tide_cell_row row[MOST_BLOCK];
  for (uint32_t t = 0; t < frames; t++) {
    const int backwards = states[0]->turn;
    for (uint32_t i = 0; i < rows; i++) {
      const uint8_t *codes = cell_codes(op, states[i], states[i]->turn);
      states[i]->turn = 1 - states[i]->turn;
      row[i] = (tide_cell_row){scratch->rows + (i * frames + t) * stride, codes, states[i]->floats,
                               states[i]->floats + units, cell_codes(op, states[i], states[i]->turn)};
    }
    step(&op->matrices[1], row, rows, backwards);
    for (uint32_t i = 0; i < rows; i++) {
      memcpy(out + ((size_t)i * frames + t) * op->width, states[i]->floats, op->width * sizeof *out);
    }
  }
}

#endif
