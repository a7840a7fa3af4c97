/* A convolution inside a frame: W x + b of the taps of each answer, [channels, kernel height, kernel width]. The result
 * is [outputs, answers], or [answers, outputs]. */
#include <string.h>

#include "geometry.h"

enum { OUTPUTS_FIRST = 1, ANSWERS_FIRST };

static int check(const plan_check *c) {
  uint32_t channels = 0, taps = 0;
  return plan_within(c, "function", c->op.function, OUTPUTS_FIRST, ANSWERS_FIRST) &&
         tide_geometry_ok(c, &channels, &taps) &&
         plan_within(c, "taps of all channels", (uint64_t)channels * taps, 1, PLAN_MAX_WIDTH) &&
         plan_matrix_ok(c, 0, c->op.matrices[0].rows, channels * taps) &&
         plan_vector_ok(c, BIAS, "bias", c->op.matrices[0].rows, 1);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  op->matrices[0] = tide_pack(arena, &source->matrices[0], source->vectors[BIAS], 1, READS_INPUT, variant);
  op->gathered = source->matrices[0].columns;
}

/* Copies the taps of an answer whose first tap is at `at`; taps outside of the frame are zeros. */
static void gather(const tide_geometry *g, const float *x, uint32_t channels, const int32_t *at, float *out) {
  int32_t first[2], past[2];
  int within = 1;
  for (int i = 0; i < 2; i++) {
    first[i] = tide_first_tap(at[i], g->dilation[i]);
    past[i] = tide_past_tap(at[i], g->dilation[i], g->kernel[i], g->size[i]);
    within = within && first[i] == 0 && past[i] == g->kernel[i];
  }
  const int32_t taps = g->kernel[0] * g->kernel[1], area = g->size[0] * g->size[1], step = g->dilation[1];
  if (!within) memset(out, 0, (size_t)taps * channels * sizeof *out);
  for (uint32_t channel = 0; channel < channels; channel++, x += area, out += taps) {
    for (int32_t k = first[0]; k < past[0]; k++) {
      const float *row = x + (at[0] + k * g->dilation[0]) * g->size[1] + at[1];
      for (int32_t l = first[1]; l < past[1]; l++) out[k * g->kernel[1] + l] = row[l * step];
    }
  }
}

/* The taps of answer `index`: in the input if they are adjacent there, else copied to `out`. */
static const float *taps_of(const model_op *op, const float *x, uint32_t index, float *out) {
  const tide_geometry *g = tide_geometry_of(op->vectors[GEOMETRY]);
  const int32_t width = (int32_t)op->counts[ANSWERS_WIDTH], row = (int32_t)index / width;
  const int32_t at[2] = {row * g->stride[0] - g->before[0], ((int32_t)index % width) * g->stride[1] - g->before[1]};
  const uint32_t area = (uint32_t)(g->size[0] * g->size[1]);
  const int within = at[1] >= 0 && at[1] + g->kernel[1] <= g->size[1] && at[0] >= 0 && at[0] < g->size[0];
  if (area == op->in_widths[0] && g->kernel[0] == 1 && g->dilation[1] == 1 && within) {
    return x + at[0] * g->size[1] + at[1];
  }
  gather(g, x, op->in_widths[0] / area, at, out);
  return out;
}

/* Writes the answers `first` to `first + count` of a frame from `rows`. */
static void store(const model_op *op, const float *rows, size_t stride, uint32_t first, uint32_t count, float *out) {
  const size_t outputs = op->matrices[0].rows, answers = op->width / outputs;
  for (size_t k = 0; k < count; k++, rows += stride) {
    if (op->function == ANSWERS_FIRST || answers == 1) memcpy(out + (first + k) * outputs, rows, outputs * sizeof *out);
    else
      for (size_t i = 0; i < outputs; i++) out[i * answers + first + k] = rows[i];
  }
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const tide_matrix *w = &op->matrices[0];
  const uint32_t answers = op->width / w->rows, most = scratch->variant->block;
  const size_t stride = (size_t)w->vectors * scratch->variant->lanes;
  for (size_t t = 0; t < frames; t++) {
    const float *x = in[0] + t * op->in_widths[0];
    for (uint32_t first = 0; first < answers; first += most) {
      const uint32_t count = answers - first < most ? answers - first : most;
      for (uint32_t k = 0; k < count; k++) {
        const float *taps = taps_of(op, x, first + k, scratch->gathered);
        scratch->scales[k] = scratch->variant->encode(w, taps, scratch->codes + (size_t)k * w->code_bytes);
      }
      scratch->variant->project(w, scratch->codes, scratch->scales, count, scratch->rows);
      store(op, scratch->rows, stride, first, count, out + t * op->width);
    }
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_convolution = {
    .name = "convolution", .inputs = 1, .shape = tide_convolved_shape, .check = check, .prepare = prepare, .run = run};
