/* A layer of an LSTM whose h is projected: h = P (o * tanh(c)). Its state is h, then c.
 *
 * h has no bound, so its codes are scaled by its largest magnitude. The gates need all of r's rows and P needs all
 * units. So both are products like those of a linear layer, with rows in the plan's order, and between them is plain
 * C. */
#include "lstm_projected.h"

#include <string.h>

#include "../src/operators.h"

enum { W, R, P };

static uint32_t units_of(const model_op *op) { return op->matrices[P].columns; }

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  (void)in;
  return (plan_shape){.width = op->matrices[P].rows, .timed = 1};
}

static int check(const plan_check *c) {
  const uint32_t units = c->op.matrices[P].columns, width = c->out.width;
  return plan_timed(c) && plan_within(c, "p.columns", units, 1, PLAN_MAX_WIDTH) &&
         plan_matrix_ok(c, W, 4 * units, c->in[0].width) && plan_matrix_ok(c, R, 4 * units, width) &&
         plan_matrix_ok(c, P, width, units) && plan_reading_ok(c, R, READ_FRAME) &&
         plan_reading_ok(c, P, READ_HIDDEN) && plan_vector_ok(c, 0, "bias", 4 * units, 1) &&
         plan_initial_ok(c, 0, width) && plan_initial_ok(c, 1, units);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  for (uint32_t m = W; m <= P; m++) {
    const float *bias = m == W ? source->vectors[0] : NULL;
    op->matrices[m] = tide_pack(arena, &source->matrices[m], bias, 1, READS_INPUT, variant);
  }
}

static op_vector vector(const model_op *op, const tide_variant *variant, uint32_t index) {
  (void)variant;
  return index == 0 ? (op_vector){0, op->width} : (op_vector){op->width, units_of(op)};
}

/* ---- the bytes of the state: codes, rows of r or p, o * tanh(c); of one step ---- */

typedef struct room {
  uint8_t *codes;
  float *rows, *outputs;
} room;

static room lay_room(tide_arena *arena, const model_op *op, const tide_variant *variant) {
  const tide_matrix *r = &op->matrices[R], *p = &op->matrices[P];
  const uint32_t codes = r->code_bytes > p->code_bytes ? r->code_bytes : p->code_bytes;
  const uint32_t vectors = r->vectors > p->vectors ? r->vectors : p->vectors;
  room made = {.codes = tide_take(arena, codes)};
  made.rows = tide_take(arena, (size_t)vectors * variant->lanes * sizeof(float));
  made.outputs = tide_take(arena, units_of(op) * sizeof(float));
  return made;
}

static op_size size(const model_op *op, const tide_variant *variant) {
  tide_arena arena = {0};
  lay_room(&arena, op, variant);
  return (op_size){(size_t)op->width + units_of(op), arena.used};
}

/* ---- one step ---- */

static void multiply(const tide_matrix *m, const tide_variant *variant, const float *x, const room *room) {
  const float scale = variant->encode(m, x, room->codes);
  variant->project(m, room->codes, &scale, 1, room->rows);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  const tide_variant *variant = scratch->variant;
  tide_arena arena = {.base = state->bytes};
  const room room = lay_room(&arena, op, variant);
  float *h = state->floats, *c = h + op->width;
  const size_t stride = tide_project(scratch, &op->matrices[W], in[0], frames, scratch->rows);
  for (uint32_t t = 0; t < frames; t++) {
    multiply(&op->matrices[R], variant, h, &room);
    variant->update_units(scratch->rows + t * stride, room.rows, units_of(op), c, room.outputs);
    multiply(&op->matrices[P], variant, room.outputs, &room);
    for (uint32_t i = 0; i < op->width; i++) h[i] = tide_flush(room.rows[i]);
    if (!variant->in_range(h, op->width)) return 0;
    memcpy(out + (size_t)t * op->width, h, op->width * sizeof *out);
  }
  return 1;
}

const tide_operator tide_operator_lstm_projected = {.name = "lstm_projected",
                                                    .inputs = 1,
                                                    .vectors = 2,
                                                    .shape = shape,
                                                    .check = check,
                                                    .prepare = prepare,
                                                    .size = size,
                                                    .vector = vector,
                                                    .run = run};
