/* The cells that another operator may run, by the count of its record that names the cell, from 1. */
#ifndef TIDE_CELLS_H
#define TIDE_CELLS_H

#include "../src/operators.h"

#define TIDE_OPERATOR(name) extern const tide_operator tide_operator_##name;
#define TIDE_NO_OPERATOR(name)
#include "../src/cells.inc"
#undef TIDE_OPERATOR
#undef TIDE_NO_OPERATOR

static const tide_operator *const CELLS[] = {
#define TIDE_OPERATOR(name) &tide_operator_##name,
#define TIDE_NO_OPERATOR(name) NULL,
#include "../src/cells.inc"
#undef TIDE_OPERATOR
#undef TIDE_NO_OPERATOR
};
enum { CELL, CELL_KINDS = sizeof CELLS / sizeof *CELLS }; /* the count that names the cell */

static inline const tide_operator *cell_of(uint32_t kind) {
  return kind >= 1 && kind <= CELL_KINDS ? CELLS[kind - 1] : NULL;
}

/* `prepare` of an operator that runs a cell. */
static inline void prepare_cell(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  cell_of(source->counts[CELL])->prepare(arena, source, variant, op);
}

#endif
