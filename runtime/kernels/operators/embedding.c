/* The row of a table for each id: codes times their scales, or floats. The ids are a feature of the frames that come
 * in. */
#include <string.h>

#include "../src/functions.h"
#include "../src/operators.h"

enum { QUANTIZED = 1, FLOAT32 };

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->counts[ID_COLUMNS], .timed = in[0].timed};
}

static int check(const plan_check *c) {
  const uint32_t rows = c->op.counts[ID_ROWS], columns = c->op.counts[ID_COLUMNS];
  if (!plan_within(c, "rows", rows, 1, PLAN_MAX_IDS) ||
      !plan_within(c, "feature of the ids", c->op.counts[ID_FEATURE], 0, c->in[0].width - 1) ||
      !plan_within(c, "function", c->op.function, QUANTIZED, FLOAT32)) {
    return 0;
  }
  if (c->op.function == QUANTIZED) {
    return plan_matrix_ok(c, 0, rows, columns) &&
           (c->op.matrices[0].weight_bits != WEIGHT_FLOAT || plan_refuse(c, "w.weight_bits", WEIGHT_FLOAT, 16));
  }
  return plan_vector_ok(c, 0, "table", (uint64_t)rows * columns, 1);
}

/* The table stays in the plan, because a lookup reads only one row. */
static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  (void)arena, (void)variant;
  op->table = source->matrices[0];
}

static void look_up(const plan_matrix *table, size_t row, float *out) {
  const uint32_t group = table->group ? table->group : table->columns;
  const float *scales = table->scales + row * plan_groups(table);
  for (uint32_t i = 0; i < table->columns; i++) {
    out[i] = tide_flush((float)plan_code(table, row, i) * scales[i / group]);
  }
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)scratch, (void)state;
  const size_t width = op->width;
  const float *ids = in[0] + op->counts[ID_FEATURE];
  for (size_t t = 0; t < frames; t++, out += width, ids += op->in_widths[0]) {
    const size_t row = (size_t)*ids;
    if (op->function == QUANTIZED) look_up(&op->table, row, out);
    else memcpy(out, op->vectors[0] + row * width, width * sizeof *out);
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
