/* Models and streams: a plan's operations, one after the other, over blocks of frames. */
#include <math.h>
#include <string.h>

#include "kernels.h"

/* Frames that go through the operations together. Longer pushes run block after block, so scratch is
 * bounded; with 16 frames the input part already runs at the arithmetic's peak, not the memory's. */
enum { BLOCK = 16 };

typedef struct model_op {
  plan_kind kind;
  plan_function function;
  uint32_t input; /* the value it reads */
  uint32_t width; /* of the value it makes */
  int timed;      /* whether that has a row for each frame */
  tide_matrix w, r;
  const float *vector;
} model_op;

struct tide_model {
  const tide_variant *variant;
  plan_header header;
  const model_op *ops;
  uint32_t states;
  int fallible;                  /* some operation's result may leave the range */
  size_t code_bytes, row_floats; /* most that a frame's codes and packed rows need in any operation */
};

/* What an LSTM carries, and the codes of its h: one set is read in a step, the other written. */
typedef struct lstm_state {
  float *h, *c;
  uint8_t *codes[2];
  int turn;
} lstm_state;

struct tide_stream {
  const tide_model *model;
  const float **values; /* [ops + 1] of the block at hand, [frames, width] each */
  float **blocks;       /* [ops + 1], room for them; [0] is unused: input is read where the caller has it */
  lstm_state *lstms;    /* [ops], empty for other operations */
  float *carried;       /* h and c of all LSTMs, padded, one after the other */
  float *before;        /* the same as before the push */
  size_t carried_bytes;
  uint8_t *codes; /* [BLOCK, code_bytes] */
  float *scales;  /* [BLOCK] */
  float *rows;    /* [BLOCK, row_floats] */
};

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* ---- model ---- */

static model_op prepare_op(tide_arena *arena, const plan_op *op, const tide_variant *variant) {
  const int recurrent = op->kind == OP_LSTM;
  model_op out = {.kind = op->kind, .function = op->function, .input = op->input, .vector = op->vector};
  if (recurrent || op->kind == OP_LINEAR) out.w = tide_pack(arena, &op->w, op->vector, recurrent ? 4 : 1, variant);
  if (recurrent) out.r = tide_pack(arena, &op->r, NULL, 4, variant);
  return out;
}

static void shape_op(model_op *op, uint32_t input_width, int input_timed) {
  op->width = op->kind == OP_LSTM ? op->r.columns : op->kind == OP_LINEAR ? op->w.rows : input_width;
  op->timed = op->kind != OP_LAST && input_timed;
}

static void account_op(tide_model *model, const model_op *op, uint32_t lanes) {
  model->states += op->kind == OP_LSTM ? 2 : 0;
  model->fallible |= op->kind == OP_LINEAR || op->kind == OP_ELEMENTWISE;
  model->code_bytes = larger(model->code_bytes, op->w.code_bytes);
  model->row_floats = larger(model->row_floats, (size_t)op->w.vectors * lanes);
}

/* Lays a model out in the arena; with a base of NULL it only counts. */
static tide_model *lay_model(tide_arena *arena, const void *plan, const tide_variant *variant) {
  const plan_header header = plan_read_header(plan);
  tide_model *model = tide_take(arena, sizeof *model);
  model_op *ops = tide_take(arena, header.ops * sizeof *ops);
  if (model) *model = (tide_model){.variant = variant, .header = header, .ops = ops};
  for (uint32_t i = 0; i < header.ops; i++) {
    const plan_op source = plan_read_op(plan, &header, i);
    model_op op = prepare_op(arena, &source, variant);
    if (!model) continue;
    const model_op *before = op.input ? &ops[op.input - 1] : NULL;
    shape_op(&op, before ? before->width : header.input_width, before ? before->timed : 1);
    account_op(model, &op, variant->lanes);
    ops[i] = op;
  }
  return model;
}

size_t tide_model_bytes(const void *plan, const tide_variant *variant) {
  tide_arena arena = {0};
  lay_model(&arena, plan, variant);
  return arena.used;
}

tide_model *tide_model_init(void *memory, const void *plan, const tide_variant *variant) {
  tide_arena arena = {.base = memory};
  return lay_model(&arena, plan, variant);
}

const tide_variant *tide_model_variant(const tide_model *model) { return model->variant; }

uint32_t tide_input_width(const tide_model *model) { return model->header.input_width; }

uint32_t tide_output_count(const tide_model *model) { return model->header.outputs; }

/* The operation that makes an output. */
static const model_op *output_op(const tide_model *model, uint32_t output) {
  return &model->ops[plan_read_output(&model->header, output) - 1];
}

uint32_t tide_output_width(const tide_model *model, uint32_t output) { return output_op(model, output)->width; }

int tide_output_timed(const tide_model *model, uint32_t output) { return output_op(model, output)->timed; }

uint32_t tide_state_count(const tide_model *model) { return model->states; }

/* The LSTM that owns a state vector: the states of each are h, c. */
static uint32_t state_op(const tide_model *model, uint32_t state) {
  uint32_t op = 0;
  for (uint32_t lstms = 0;; op++) {
    if (model->ops[op].kind == OP_LSTM && lstms++ == state / 2) return op;
  }
}

uint32_t tide_state_width(const tide_model *model, uint32_t state) { return model->ops[state_op(model, state)].width; }

/* ---- stream ---- */

static size_t padded_units(const tide_model *model, const model_op *op) {
  return op->kind == OP_LSTM ? (size_t)op->r.vectors / 4 * model->variant->lanes : 0;
}

static void lay_lstms(tide_arena *arena, const tide_model *model, tide_stream *stream) {
  const uint32_t ops = model->header.ops;
  size_t floats = 0;
  for (uint32_t i = 0; i < ops; i++) floats += 2 * padded_units(model, &model->ops[i]);
  lstm_state *lstms = tide_take(arena, ops * sizeof *lstms);
  float *carried = tide_take(arena, floats * sizeof *carried), *before = tide_take(arena, floats * sizeof *before);
  if (stream) {
    stream->lstms = lstms, stream->carried = carried, stream->before = before;
    stream->carried_bytes = floats * sizeof *carried;
  }
  for (uint32_t i = 0; i < ops; i++) {
    const model_op *op = &model->ops[i];
    const size_t units = padded_units(model, op);
    uint8_t *codes[2] = {tide_take(arena, op->r.code_bytes), tide_take(arena, op->r.code_bytes)};
    if (stream) lstms[i] = (lstm_state){carried, carried + units, {codes[0], codes[1]}, 0};
    if (stream) carried += 2 * units;
  }
}

static tide_stream *lay_stream(tide_arena *arena, const tide_model *model) {
  const uint32_t ops = model->header.ops;
  tide_stream *stream = tide_take(arena, sizeof *stream);
  const float **values = tide_take(arena, (ops + 1) * sizeof *values);
  float **blocks = tide_take(arena, (ops + 1) * sizeof *blocks);
  uint8_t *codes = tide_take(arena, BLOCK * model->code_bytes);
  float *scales = tide_take(arena, BLOCK * sizeof *scales);
  float *rows = tide_take(arena, BLOCK * model->row_floats * sizeof *rows);
  if (stream) {
    *stream = (tide_stream){.model = model, .values = values, .blocks = blocks};
    stream->codes = codes, stream->scales = scales, stream->rows = rows;
  }
  for (uint32_t i = 0; i < ops; i++) {
    float *block = tide_take(arena, BLOCK * model->ops[i].width * sizeof *block);
    if (stream) values[i + 1] = blocks[i + 1] = block;
  }
  lay_lstms(arena, model, stream);
  return stream;
}

size_t tide_stream_bytes(const tide_model *model) {
  tide_arena arena = {0};
  lay_stream(&arena, model);
  return arena.used;
}

/* The codes of every h follow from the carried floats. */
static void encode_states(tide_stream *stream) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    if (model->ops[i].kind != OP_LSTM) continue;
    lstm_state *s = &stream->lstms[i];
    model->variant->encode(&model->ops[i].r, s->h, s->codes[s->turn]);
  }
}

void tide_reset(tide_stream *stream) {
  memset(stream->carried, 0, stream->carried_bytes);
  encode_states(stream);
}

tide_stream *tide_stream_init(void *memory, const tide_model *model) {
  tide_arena arena = {.base = memory};
  tide_stream *stream = lay_stream(&arena, model);
  tide_reset(stream);
  return stream;
}

void tide_state_read(const tide_stream *stream, uint32_t state, float *values) {
  const uint32_t op = state_op(stream->model, state);
  const lstm_state *s = &stream->lstms[op];
  memcpy(values, state % 2 ? s->c : s->h, stream->model->ops[op].width * sizeof *values);
}

/* ---- push ---- */

/* Whether all magnitudes are at most 2^64; NaN and infinity are not. */
static int in_range(const float *values, size_t count) {
  int out = 0;
  for (size_t i = 0; i < count; i++) out |= !(fabsf(values[i]) <= 0x1p64f);
  return !out;
}

/* The packed rows of a matrix times the frames of a block; their stride is vectors * lanes. */
static size_t project_block(tide_stream *stream, const tide_matrix *w, const float *x, uint32_t frames) {
  const tide_variant *variant = stream->model->variant;
  for (uint32_t t = 0; t < frames; t++) {
    stream->scales[t] = variant->encode(w, x + (size_t)t * w->columns, stream->codes + (size_t)t * w->code_bytes);
  }
  variant->project(w, stream->codes, stream->scales, frames, stream->rows);
  return (size_t)w->vectors * variant->lanes;
}

static void run_lstm(tide_stream *stream, const model_op *op, lstm_state *s, const float *x, uint32_t frames,
                     float *y) {
  const size_t stride = project_block(stream, &op->w, x, frames);
  for (uint32_t t = 0; t < frames; t++) {
    stream->model->variant->lstm_step(&op->r, stream->rows + t * stride, s->codes[s->turn], s->h, s->c,
                                      s->codes[1 - s->turn], s->turn);
    s->turn = 1 - s->turn;
    memcpy(y + (size_t)t * op->width, s->h, op->width * sizeof *y);
  }
}

static int run_linear(tide_stream *stream, const model_op *op, const float *x, uint32_t frames, float *y) {
  const size_t stride = project_block(stream, &op->w, x, frames);
  for (uint32_t t = 0; t < frames; t++) {
    memcpy(y + (size_t)t * op->width, stream->rows + t * stride, op->width * sizeof *y);
  }
  return in_range(y, (size_t)frames * op->width);
}

/* Values below 2^-60 become +0 before and after a float operation. */
static float without_tiny(float x) { return fabsf(x) >= 0x1p-60f ? x : 0.0f; }

static float elementwise(plan_function function, float x, float constant) {
  switch (function) {
    case FN_ADD:
      return x + constant;
    case FN_SUB:
      return x - constant;
    case FN_MUL:
      return x * constant;
    default:
      return x / constant;
  }
}

static int run_elementwise(const model_op *op, const float *x, uint32_t frames, float *y) {
  for (size_t t = 0; t < frames; t++) {
    for (size_t i = 0; i < op->width; i++) {
      const size_t at = t * op->width + i;
      y[at] = without_tiny(elementwise(op->function, without_tiny(x[at]), op->vector[i]));
    }
  }
  return in_range(y, (size_t)frames * op->width);
}

static int run_op(tide_stream *stream, uint32_t index, uint32_t frames) {
  const model_op *op = &stream->model->ops[index];
  const float *x = stream->values[op->input];
  float *y = stream->blocks[index + 1];
  const uint32_t rows = op->timed ? frames : 1;
  switch (op->kind) {
    case OP_LSTM:
      run_lstm(stream, op, &stream->lstms[index], x, frames, y);
      return 1;
    case OP_LINEAR:
      return run_linear(stream, op, x, rows, y);
    case OP_ELEMENTWISE:
      return run_elementwise(op, x, rows, y);
    default: /* OP_LAST */
      memcpy(y, x + (size_t)(frames - 1) * op->width, op->width * sizeof *y);
      return 1;
  }
}

/* What has one row a push is computed for the last block alone. */
static int run_block(tide_stream *stream, const float *x, uint32_t frames, int last) {
  stream->values[0] = x;
  for (uint32_t i = 0; i < stream->model->header.ops; i++) {
    if ((last || stream->model->ops[i].timed) && !run_op(stream, i, frames)) return 0;
  }
  return 1;
}

static void copy_outputs(const tide_stream *stream, size_t done, uint32_t frames, int last, float *const *outputs) {
  for (uint32_t i = 0; i < stream->model->header.outputs; i++) {
    const model_op *op = output_op(stream->model, i);
    const float *values = stream->values[plan_read_output(&stream->model->header, i)];
    if (op->timed) memcpy(outputs[i] + done * op->width, values, (size_t)frames * op->width * sizeof *values);
    else if (last) memcpy(outputs[i], values, op->width * sizeof *values);
  }
}

static tide_status roll_back(tide_stream *stream) {
  memcpy(stream->carried, stream->before, stream->carried_bytes);
  encode_states(stream);
  return TIDE_E_RANGE;
}

tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {
  const uint32_t width = stream->model->header.input_width;
  if (!in_range(frames, count * width)) return TIDE_E_INPUT;
  if (stream->model->fallible) memcpy(stream->before, stream->carried, stream->carried_bytes);
  for (size_t done = 0; done < count;) {
    const uint32_t block = count - done < BLOCK ? (uint32_t)(count - done) : BLOCK;
    const int last = done + block == count;
    if (!run_block(stream, frames + done * width, block, last)) return roll_back(stream);
    copy_outputs(stream, done, block, last, outputs);
    done += block;
  }
  return TIDE_OK;
}
