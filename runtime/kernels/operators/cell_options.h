/* What the cells with options share. Their function has the number of each activation in one byte, the first in the
 * lowest, and flags in the highest. Their second vector starts with alpha and beta of three activations, and the clip.
 * They multiply as a linear layer does, with rows in the plan's order, and activate with the loops of the variant; the
 * rest of the gates is plain C. */
#ifndef TIDE_CELL_OPTIONS_H
#define TIDE_CELL_OPTIONS_H

#include <string.h>

#include "../src/functions.h"
#include "../src/operators.h"
#include "activations.h"

enum { W, R, P };
enum { GATE, CANDIDATE, OUTPUT }; /* the places of activations */
enum { COUPLED = 1, RESET_FIRST = 2, PEEPHOLES = 4, GIVES_C = 8 };
enum { OPTION_CLIP = 6, OPTION_NUMBERS = 7 };
enum { WITHIN_ONE = ACTIVATION_softsign + 1, FROM_ZERO_TO_ONE = ACTIVATION_hard_sigmoid + 1 }; /* the last of such */

static inline uint32_t option_activation(uint32_t function, uint32_t place) { return function >> 8 * place & 255; }
static inline uint32_t option_flags(uint32_t function) { return function >> 24; }

/* The first `count` activations are known ones and there are no others; there are no flags but these; and the second
 * vector has the numbers and `more` values. */
static inline int options_ok(const plan_check *c, uint32_t count, uint32_t flags, uint64_t more) {
  for (uint32_t place = GATE; place <= OUTPUT; place++) {
    const uint32_t least = place < count, most = least ? ACTIVATION_COUNT : 0;
    if (!plan_within(c, "activation", option_activation(c->op.function, place), least, most)) return 0;
  }
  const uint32_t seen = option_flags(c->op.function);
  if (!plan_equal(c, "options", seen, seen & flags)) return 0;
  if (!plan_vector_ok(c, 1, "numbers of the options", OPTION_NUMBERS + more, 1)) return 0;
  const uint32_t clip = plan_bits_at(c->op.vectors[1], OPTION_CLIP);
  return clip >> 31 ? plan_refuse(c, "clip", clip, 0) : 1;
}

/* How a matrix reads the h of a cell whose values are within [-1, 1] only if `bounded`. */
static inline plan_reading option_reading(int bounded) { return bounded ? READ_HIDDEN : READ_FRAME; }

/* Some rows of a matrix. */
static inline plan_matrix option_rows(const plan_matrix *m, uint32_t first, uint32_t rows) {
  plan_matrix part = *m;
  const size_t row_bytes = ((size_t)m->columns * m->weight_bits + 7) / 8;
  part.codes = (const uint8_t *)m->codes + first * row_bytes;
  part.scales = m->scales + (size_t)first * plan_groups(m);
  part.rows = rows;
  return part;
}

static inline tide_matrix option_pack(tide_arena *arena, const plan_matrix *m, const float *bias,
                                      const tide_variant *variant) {
  return tide_pack(arena, m, bias, 1, READS_INPUT, variant);
}

/* Bytes of a state: the codes of a value, rows of a product, the gates, and one more value per unit. */
typedef struct option_room {
  uint8_t *codes;
  float *rows, *gates, *units;
} option_room;

static inline option_room lay_options(tide_arena *arena, const model_op *op, const tide_variant *variant,
                                      uint32_t gates, uint32_t units) {
  uint32_t codes = 0, vectors = 0;
  for (uint32_t m = R; m <= P; m++) {
    if (op->matrices[m].code_bytes > codes) codes = op->matrices[m].code_bytes;
    if (op->matrices[m].vectors > vectors) vectors = op->matrices[m].vectors;
  }
  option_room room = {.codes = tide_take(arena, codes)};
  room.rows = tide_take(arena, (size_t)vectors * variant->lanes * sizeof(float));
  room.gates = tide_take(arena, (size_t)gates * units * sizeof(float));
  room.units = tide_take(arena, units * sizeof(float));
  return room;
}

/* Writes M x to the room's rows. */
static inline void option_product(const tide_matrix *m, const tide_variant *variant, const float *x,
                                  const option_room *room) {
  const float scale = variant->encode(m, x, room->codes);
  variant->project(m, room->codes, &scale, 1, room->rows);
}

/* An activation in place. */
static inline void option_activate(const model_op *op, const tide_variant *variant, uint32_t place, float *x,
                                   size_t count) {
  variant->activation[option_activation(op->function, place) - 1](x, count, op->vectors[1] + 2 * place, x);
}

/* The same, of sums: the clip limits them. */
static inline void option_gates(const model_op *op, const tide_variant *variant, uint32_t place, float *x,
                                size_t count) {
  const float clip = op->vectors[1][OPTION_CLIP];
  for (size_t i = 0; clip > 0.0f && i < count; i++) x[i] = tide_clamp(x[i], -clip, clip);
  option_activate(op, variant, place, x, count);
}

/* One step: the gates from W x, and h (of an LSTM followed by c) in place. Returns 0 if a value leaves 2^64. */
typedef int option_step(const model_op *op, const tide_variant *variant, const option_room *room, const float *gates_x,
                        float *h);

/* The size of a state of `floats`, with the room of a step. */
static inline op_size option_size(const model_op *op, const tide_variant *variant, uint32_t gates, uint32_t units,
                                  size_t floats) {
  tide_arena arena = {0};
  lay_options(&arena, op, variant, gates, units);
  return (op_size){floats, arena.used};
}

static inline int option_run(const model_op *op, const op_scratch *scratch, op_state *state, const float *in,
                             uint32_t frames, float *out, uint32_t gates, uint32_t units, option_step *step) {
  tide_arena arena = {.base = state->bytes};
  const option_room room = lay_options(&arena, op, scratch->variant, gates, units);
  const size_t stride = tide_project(scratch, &op->matrices[W], in, frames, scratch->rows);
  for (uint32_t t = 0; t < frames; t++) {
    if (!step(op, scratch->variant, &room, scratch->rows + t * stride, state->floats)) return 0;
    memcpy(out + (size_t)t * op->width, state->floats, op->width * sizeof *out);
  }
  return 1;
}

static inline plan_shape option_shape(const plan_op *op, const plan_shape *in) {
  (void)in;
  return (plan_shape){.width = op->matrices[R].columns, .timed = 1};
}

/* The state of a cell without c. */
static inline op_vector option_h(const model_op *op, const tide_variant *variant, uint32_t index) {
  (void)variant, (void)index;
  return (op_vector){0, op->width};
}

#endif
