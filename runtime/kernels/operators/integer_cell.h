/* What the recurrent cells in integers share. The state is floats, h and then c, which are exact values of codes. Its
 * bytes are two sets of codes of h: a step reads one and writes the other. */
#ifndef TIDE_INTEGER_CELL_H
#define TIDE_INTEGER_CELL_H

#include <string.h>

#include "../src/fixed.h"
#include "../src/operators.h"

enum { W, R };

static inline plan_shape integer_cell_shape(const plan_op *op, const plan_shape *in) {
  (void)in;
  return (plan_shape){.width = op->matrices[R].columns, .timed = 1};
}

static inline int integer_cell_check(const plan_check *c, uint32_t gates) {
  const uint32_t hidden = c->out.width;
  const plan_matrix *r = &c->op.matrices[R];
  return plan_timed(c) && plan_fixed_matrix_ok(c, W, gates * hidden, c->in[0].width) &&
         plan_fixed_matrix_ok(c, R, gates * hidden, hidden) &&
         plan_equal(c, "r.exponent", (uint32_t)r->exponent, r->bits - 1) &&
         plan_integers_ok(c, 0, "bias", (uint64_t)gates * hidden, -MOST_SUM, MOST_SUM) && plan_initial_ok(c, 0, hidden);
}

static inline void integer_cell_prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant,
                                        model_op *op) {
  (void)arena, (void)variant;
  op->matrices[W] = tide_fixed_matrix(&source->matrices[W]);
  op->matrices[R] = tide_fixed_matrix(&source->matrices[R]);
}

static inline int16_t *integer_cell_codes(const model_op *op, const op_state *state, int turn) {
  return (int16_t *)(void *)(state->bytes + (size_t)turn * op->matrices[R].code_bytes);
}

static inline op_size integer_cell_size(const model_op *op, size_t vectors) {
  return (op_size){vectors * op->matrices[R].columns, 2 * (size_t)op->matrices[R].code_bytes};
}

static inline void integer_cell_derive(const model_op *op, const tide_variant *variant, op_state *state) {
  tide_fixed_codes(&op->matrices[R], variant, state->floats, integer_cell_codes(op, state, state->turn));
}

static inline op_vector integer_cell_vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  (void)variant;
  return (op_vector){(size_t)index * op->width, op->width};
}

/* A vector of the operation's record. */
static inline const int32_t *integers_of(const model_op *op, int vector) {
  return (const int32_t *)(const void *)op->vectors[vector];
}

/* Computes one unit of one step from the codes of x and h; returns the code of the new h. */
typedef int32_t integer_cell_unit(const model_op *op, const tide_variant *variant, op_state *state, uint32_t unit,
                                  const int16_t *x, const int16_t *h);

static inline void integer_cell_run(const model_op *op, const op_scratch *scratch, op_state *state, const float *in,
                                    uint32_t frames, float *out, integer_cell_unit *run_unit) {
  const tide_matrix *w = &op->matrices[W], *r = &op->matrices[R];
  int16_t *x = (int16_t *)(void *)scratch->codes;
  for (uint32_t t = 0; t < frames; t++, in += w->columns, out += op->width) {
    const int16_t *h = integer_cell_codes(op, state, state->turn);
    int16_t *next = integer_cell_codes(op, state, 1 - state->turn);
    tide_fixed_codes(w, scratch->variant, in, x);
    for (uint32_t u = 0; u < op->width; u++) {
      const int32_t code = tide_clipped(run_unit(op, scratch->variant, state, u, x, h), r->largest);
      next[tide_place(scratch->variant->swapped, u, op->width)] = (int16_t)code;
      tide_value(code, r->exponent, state->floats + u);
    }
    state->turn = 1 - state->turn;
    memcpy(out, state->floats, op->width * sizeof *out);
  }
}

#endif
