/* W x + b. */
#include <string.h>

#include "../src/operators.h"

static plan_shape shape(const plan_op *op, const plan_shape *in) {
  return (plan_shape){.width = op->matrices[0].rows, .timed = in[0].timed};
}

static int check(const plan_check *c) {
  return plan_matrix_ok(c, 0, c->out.width, c->in[0].width) && plan_vector_ok(c, 0, "bias", c->out.width, 1);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  op->matrices[0] = tide_pack(arena, &source->matrices[0], source->vectors[0], 1, READS_INPUT, variant);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const tide_matrix *w = &op->matrices[0];
  const int padded = (size_t)w->vectors * scratch->variant->lanes != op->width;
  const size_t stride = tide_project(scratch, w, in[0], frames, padded ? scratch->rows : out);
  for (uint32_t t = 0; padded && t < frames; t++) {
    memcpy(out + (size_t)t * op->width, scratch->rows + t * stride, op->width * sizeof *out);
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_linear = {
    .name = "linear", .inputs = 1, .shape = shape, .check = check, .prepare = prepare, .run = run};
