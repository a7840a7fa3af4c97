/* W x + b in integers; the count of its record is the exponent of the answer. */
#include "../src/fixed.h"
#include "../src/operators.h"

enum { MOST_ROWS = 4 };

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->matrices[0].rows, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  return plan_exponent_ok(c, 0, "exponent") && plan_fixed_matrix_ok(c, 0, c->out.width, c->in[0].width) &&
         plan_integers_ok(c, 0, "bias", c->out.width, -MOST_SUM, MOST_SUM);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  (void)arena, (void)variant;
  op->matrices[0] = tide_fixed_matrix(&source->matrices[0]);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const tide_matrix *w = &op->matrices[0];
  const int32_t *bias = (const int32_t *)(const void *)op->vectors[0], exponent = (int32_t)op->counts[0];
  int16_t *codes = (int16_t *)(void *)scratch->codes;
  for (uint32_t t = 0; t < frames; t++, out += op->width) {
    tide_fixed_codes(w, scratch->variant, in[0] + (size_t)t * w->columns, codes);
    for (uint32_t row = 0; row < w->rows; row += MOST_ROWS) {
      const uint32_t left = w->rows - row, rows = left < MOST_ROWS ? left : MOST_ROWS;
      int32_t sums[MOST_ROWS];
      tide_fixed_sums(w, scratch->variant, row, 1, rows, codes, exponent, sums);
      for (uint32_t i = 0; i < rows; i++) {
        tide_value(tide_clipped(sums[i] + bias[row + i], MOST_VALUE), exponent, out + row + i);
      }
    }
  }
  return 1;
}

const tide_operator tide_operator_integer_linear = {.name = "integer_linear",
                                                    .inputs = 1,
                                                    .bounded = 1,
                                                    .shape = shape,
                                                    .check = check,
                                                    .prepare = prepare,
                                                    .run = run};
