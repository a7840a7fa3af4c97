/* A row of a table for each id: int8 codes times the row's scale, or floats as they are. */
#include <string.h>

#include "../src/functions.h"
#include "../src/operators.h"

enum { INT8 = 1, FLOAT32 };
enum { ROWS, COLUMNS };

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->counts[COLUMNS], .timed = in[0].timed};
}

static int check(const plan_check *c) {
  const uint32_t rows = c->op.counts[ROWS], columns = c->op.counts[COLUMNS];
  if (!plan_within(c, "rows", rows, 1, PLAN_MAX_IDS) || !plan_within(c, "function", c->op.function, INT8, FLOAT32)) {
    return 0;
  }
  if (c->op.function == INT8) return plan_matrix_ok(c, 0, rows, columns);
  return plan_vector_ok(c, 0, "table", (uint64_t)rows * columns, 1);
}

/* The table stays where the plan has it: a lookup reads one row. */
static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  (void)arena, (void)variant;
  op->matrices[0] = (tide_matrix){.panels = source->matrices[0].codes, .scales = source->matrices[0].scales};
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t width = op->width;
  for (size_t t = 0; t < frames; t++, out += width) {
    const size_t row = (size_t)in[0][t];
    if (op->function == FLOAT32) {
      memcpy(out, op->vectors[0] + row * width, width * sizeof *out);
      continue;
    }
    const int8_t *codes = op->matrices[0].panels + row * width;
    const float scale = op->matrices[0].scales[row];
    for (size_t i = 0; i < width; i++) out[i] = tide_flush((float)codes[i] * scale);
  }
  return 1;
}

const tide_operator tide_operator_embedding = {.name = "embedding",
                                               .inputs = 1,
                                               .ids = 1,
                                               .bounded = 1,
                                               .shape = shape,
                                               .check = check,
                                               .prepare = prepare,
                                               .run = run};
