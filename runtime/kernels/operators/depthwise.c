/* A convolution inside a frame whose output channels each read one channel. The weights are floats: codes times their
 * scales, made when the model is. */
#include <string.h>

#include "../src/functions.h"
#include "geometry.h"

static int check(const plan_check *c) {
  uint32_t channels = 0, taps = 0;
  const uint32_t outputs = c->op.matrices[0].rows;
  return tide_geometry_ok(c, &channels, &taps) && plan_within(c, "channels", channels, 1, outputs) &&
         plan_equal(c, "outputs of a channel", outputs % channels, 0) && plan_matrix_ok(c, 0, outputs, taps) &&
         plan_vector_ok(c, BIAS, "bias", outputs, 1);
}

static float weight(const plan_matrix *w, size_t row, uint32_t tap) {
  if (w->weight_bits == WEIGHT_FLOAT) return tide_flush(((const float *)w->codes)[row * w->columns + tap]);
  const uint32_t group = w->group ? w->group : w->columns;
  return tide_flush((float)plan_code(w, row, tap) * w->scales[row * plan_groups(w) + tap / group]);
}

static void prepare(tide_arena *arena, const plan_op *source, const tide_variant *variant, model_op *op) {
  (void)variant;
  op->table = source->matrices[0];
  float *weights = tide_take(arena, (size_t)op->table.rows * op->table.columns * sizeof *weights);
  for (size_t row = 0; weights && row < op->table.rows; row++) {
    for (uint32_t tap = 0; tap < op->table.columns; tap++) {
      weights[row * op->table.columns + tap] = weight(&op->table, row, tap);
    }
  }
  op->table.codes = weights;
}

/* Adds w x of one tap to the answers of a row of the frame; `at` is where the first answer's tap is. */
static void add_tap(const float *x, float w, int32_t at, int32_t stride, int32_t size, uint32_t answers, float *out) {
  const int32_t first = tide_first_tap(at, stride), past = tide_past_tap(at, stride, (int32_t)answers, size);
  if (stride == 1)
    for (int32_t i = first; i < past; i++) out[i] += tide_flush(x[at + i]) * w;
  else
    for (int32_t i = first; i < past; i++) out[i] += tide_flush(x[at + i * stride]) * w;
}

/* The answers of one output channel. */
static void convolve(const model_op *op, const tide_geometry *g, const float *x, const float *w, float bias,
                     float *out) {
  const uint32_t height = op->counts[ANSWERS_HEIGHT], width = op->counts[ANSWERS_WIDTH];
  memset(out, 0, (size_t)height * width * sizeof *out);
  for (int32_t k = 0; k < g->kernel[0]; k++) {
    for (int32_t l = 0; l < g->kernel[1]; l++, w++) {
      for (uint32_t i = 0; i < height; i++) {
        const int32_t row = (int32_t)i * g->stride[0] - g->before[0] + k * g->dilation[0];
        const int32_t at = l * g->dilation[1] - g->before[1];
        if (row < 0 || row >= g->size[0]) continue;
        add_tap(x + row * g->size[1], *w, at, g->stride[1], g->size[1], width, out + i * width);
      }
    }
  }
  for (uint32_t i = 0; i < height * width; i++) out[i] = tide_flush(out[i] + bias);
}

static int run(const model_op *op, const op_scratch *scratch, op_state *state, const float *const *in, uint32_t frames,
               float *out) {
  (void)state;
  const tide_geometry *g = tide_geometry_of(op->vectors[GEOMETRY]);
  const size_t area = (size_t)(g->size[0] * g->size[1]), outputs = op->table.rows;
  const size_t each = outputs / (op->in_widths[0] / area), answers = op->width / outputs;
  const float *weights = op->table.codes;
  for (size_t t = 0; t < frames; t++) {
    const float *x = in[0] + t * op->in_widths[0];
    for (size_t i = 0; i < outputs; i++) {
      convolve(op, g, x + i / each * area, weights + i * op->table.columns, op->vectors[BIAS][i],
               out + t * op->width + i * answers);
    }
  }
  return scratch->variant->in_range(out, (size_t)frames * op->width);
}

const tide_operator tide_operator_depthwise = {
    .name = "depthwise", .inputs = 1, .shape = tide_convolved_shape, .check = check, .prepare = prepare, .run = run};
