/* Models and streams: a plan's operations, one after the other, over blocks of frames. */
#include <math.h>
#include <string.h>

#include "bytes.h"
#include "engine.h"

#define TIDE_OPERATOR(name) extern const tide_operator tide_operator_##name;
#include "operators.inc"
#undef TIDE_OPERATOR

static const tide_operator *const OPERATORS[] = {
#define TIDE_OPERATOR(name) &tide_operator_##name,
#include "operators.inc"
#undef TIDE_OPERATOR
};

struct tide_model {
  const tide_variant *variant;
  plan_header header;
  const model_op *ops;
  uint32_t states;
  uint32_t ids;                  /* ids that every table has; 0: the input is floats */
  int fallible;                  /* some operation's result may leave 2^64 */
  size_t code_bytes, row_floats; /* most that a frame's codes and packed rows need in any operation */
};

struct tide_stream {
  const tide_model *model;
  const float **values; /* [ops + 1] of the block at hand, [frames, width] each */
  float **blocks;       /* [ops + 1], room for them; [0] is unused: input is read where the caller has it */
  op_state *states;     /* [ops] */
  float *carried;       /* the floats of all states, one after the other */
  float *before;        /* the same as before the push */
  size_t carried_bytes;
  uint64_t frames, refused; /* counts */
  int finished;
  op_scratch scratch;
};

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

uint32_t tide_operator_count(void) { return sizeof OPERATORS / sizeof *OPERATORS; }

const tide_operator *tide_operator_of(uint32_t kind) {
  return kind >= 1 && kind <= tide_operator_count() ? OPERATORS[kind - 1] : NULL;
}

/* ---- model ---- */

static model_op prepare_op(tide_arena *arena, const plan_op *source, const tide_variant *variant) {
  model_op op = {.operator = tide_operator_of(source->kind), .function = source->function};
  memcpy(op.inputs, source->inputs, sizeof op.inputs);
  memcpy(op.counts, source->counts, sizeof op.counts);
  memcpy(op.numbers, source->numbers, sizeof op.numbers);
  memcpy(op.vectors, source->vectors, sizeof op.vectors);
  if (op.operator->prepare) op.operator->prepare(arena, source, variant, &op);
  return op;
}

static void account_op(tide_model *model, const model_op *op) {
  if (op->operator->ids && op->counts[0] < model->ids) model->ids = op->counts[0];
  model->states += op->operator->vectors;
  model->fallible |= !op->operator->bounded;
  for (uint32_t i = 0; i < PLAN_MATRICES; i++) {
    model->code_bytes = larger(model->code_bytes, op->matrices[i].code_bytes);
    model->row_floats = larger(model->row_floats, (size_t)op->matrices[i].vectors * model->variant->lanes);
  }
}

static void shape_op(const plan_header *header, const plan_op *source, model_op *ops, uint32_t index) {
  plan_shape in[PLAN_INPUTS];
  for (uint32_t i = 0; i < ops[index].operator->inputs; i++) {
    const model_op *maker = source->inputs[i] ? &ops[source->inputs[i] - 1] : NULL;
    in[i] = maker ? (plan_shape){maker->width, maker->timed, 0} : (plan_shape){header->input_width, 1, 0};
    ops[index].in_widths[i] = in[i].width;
  }
  const plan_shape out = ops[index].operator->shape(source, in);
  ops[index].width = out.width, ops[index].timed = out.timed;
}

/* Lays a model out in the arena; with a base of NULL it only counts. */
static tide_model *lay_model(tide_arena *arena, const void *plan, const tide_variant *variant) {
  const plan_header header = plan_read_header(plan);
  tide_model *model = tide_take(arena, sizeof *model);
  model_op *ops = tide_take(arena, header.ops * sizeof *ops);
  const uint32_t ids = header.input_ids ? PLAN_MAX_IDS : 0;
  if (model) *model = (tide_model){.variant = variant, .header = header, .ops = ops, .ids = ids};
  for (uint32_t i = 0; i < header.ops; i++) {
    const plan_op source = plan_read_op(plan, &header, i);
    const model_op op = prepare_op(arena, &source, variant);
    if (!model) continue;
    ops[i] = op;
    shape_op(&header, &source, ops, i);
    account_op(model, &op);
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

uint32_t tide_input_ids(const tide_model *model) { return model->ids; }

uint32_t tide_output_count(const tide_model *model) { return model->header.outputs; }

/* The operation that makes an output. */
static const model_op *output_op(const tide_model *model, uint32_t output) {
  return &model->ops[plan_read_output(&model->header, output) - 1];
}

uint32_t tide_output_width(const tide_model *model, uint32_t output) { return output_op(model, output)->width; }

int tide_output_timed(const tide_model *model, uint32_t output) { return output_op(model, output)->timed; }

uint32_t tide_state_count(const tide_model *model) { return model->states; }

/* A state vector and the operation that owns it. */
static op_vector state_vector(const tide_model *model, uint32_t state, uint32_t *owner) {
  uint32_t i = 0;
  for (; state >= model->ops[i].operator->vectors; i++) state -= model->ops[i].operator->vectors;
  *owner = i;
  return model->ops[i].operator->vector(&model->ops[i], model->variant, state);
}

uint32_t tide_state_width(const tide_model *model, uint32_t state) {
  uint32_t owner;
  return state_vector(model, state, &owner).count;
}

/* ---- stream ---- */

static op_size size_of(const tide_model *model, uint32_t op) {
  const tide_operator *operator = model->ops[op].operator;
  return operator->size ? operator->size(&model->ops[op], model->variant) : (op_size){0, 0};
}

static void lay_states(tide_arena *arena, const tide_model *model, tide_stream *stream) {
  const uint32_t ops = model->header.ops;
  size_t floats = 0;
  for (uint32_t i = 0; i < ops; i++) floats += size_of(model, i).floats;
  op_state *states = tide_take(arena, ops * sizeof *states);
  float *carried = tide_take(arena, floats * sizeof *carried), *before = tide_take(arena, floats * sizeof *before);
  if (stream) {
    stream->states = states, stream->carried = carried, stream->before = before;
    stream->carried_bytes = floats * sizeof *carried;
  }
  for (uint32_t i = 0; i < ops; i++) {
    const op_size size = size_of(model, i);
    uint8_t *bytes = tide_take(arena, size.bytes);
    if (!stream) continue;
    states[i] = (op_state){.floats = carried, .bytes = bytes};
    carried += size.floats;
  }
}

static tide_stream *lay_stream(tide_arena *arena, const tide_model *model) {
  const uint32_t ops = model->header.ops, most = model->variant->block;
  tide_stream *stream = tide_take(arena, sizeof *stream);
  const float **values = tide_take(arena, (ops + 1) * sizeof *values);
  float **blocks = tide_take(arena, (ops + 1) * sizeof *blocks);
  uint8_t *codes = tide_take(arena, most * model->code_bytes);
  float *scales = tide_take(arena, most * sizeof *scales);
  float *rows = tide_take(arena, most * model->row_floats * sizeof *rows);
  if (stream) {
    *stream = (tide_stream){.model = model, .values = values, .blocks = blocks};
    stream->scratch = (op_scratch){model->variant, codes, scales, rows};
  }
  for (uint32_t i = 0; i < ops; i++) {
    float *block = tide_take(arena, most * model->ops[i].width * sizeof *block);
    if (stream) values[i + 1] = blocks[i + 1] = block;
  }
  lay_states(arena, model, stream);
  return stream;
}

size_t tide_stream_bytes(const tide_model *model) {
  tide_arena arena = {0};
  lay_stream(&arena, model);
  return arena.used;
}

/* The bytes of every state follow from its floats. */
static void derive_states(tide_stream *stream) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    const model_op *op = &model->ops[i];
    if (op->operator->derive) op->operator->derive(op, model->variant, &stream->states[i]);
  }
}

void tide_reset(tide_stream *stream) {
  memset(stream->carried, 0, stream->carried_bytes);
  stream->frames = stream->refused = 0;
  stream->finished = 0;
  derive_states(stream);
}

tide_stream *tide_stream_init(void *memory, const tide_model *model) {
  tide_arena arena = {.base = memory};
  memset(memory, 0, tide_stream_bytes(model)); /* the padding of codes is read */
  tide_stream *stream = lay_stream(&arena, model);
  tide_reset(stream);
  return stream;
}

float *tide_state_at(const tide_stream *stream, uint32_t state) {
  uint32_t owner;
  const op_vector vector = state_vector(stream->model, state, &owner);
  return stream->states[owner].floats + vector.first;
}

void tide_state_read(const tide_stream *stream, uint32_t state, float *values) {
  memcpy(values, tide_state_at(stream, state), tide_state_width(stream->model, state) * sizeof *values);
}

const tide_model *tide_stream_model(const tide_stream *stream) { return stream->model; }

const uint8_t *tide_model_hash(const tide_model *model) { return model->header.hash; }

void tide_stream_load(tide_stream *stream, const uint8_t *values, uint64_t frames, uint64_t refused, int finished) {
  tide_reset(stream);
  for (uint32_t state = 0; state < stream->model->states; state++) {
    const uint32_t width = tide_state_width(stream->model, state);
    float *at = tide_state_at(stream, state);
    for (uint32_t i = 0; i < width; i++, values += sizeof *at) at[i] = float_at(values);
  }
  stream->frames = frames, stream->refused = refused, stream->finished = finished;
  derive_states(stream);
}

uint64_t tide_frames(const tide_stream *stream) { return stream->frames; }

uint64_t tide_refused(const tide_stream *stream) { return stream->refused; }

int tide_finished(const tide_stream *stream) { return stream->finished; }

/* ---- push ---- */

size_t tide_project(const op_scratch *scratch, const tide_matrix *w, const float *x, uint32_t frames, float *rows) {
  const tide_variant *variant = scratch->variant;
  for (uint32_t t = 0; t < frames; t++) {
    scratch->scales[t] = variant->encode(w, x + (size_t)t * w->columns, scratch->codes + (size_t)t * w->code_bytes);
  }
  variant->project(w, scratch->codes, scratch->scales, frames, rows);
  return (size_t)w->vectors * variant->lanes;
}

/* Rows of a value in a block of `frames`. */
static uint32_t rows_of(const tide_model *model, uint32_t value, uint32_t frames) {
  return value == 0 || model->ops[value - 1].timed ? frames : 1;
}

static int run_op(tide_stream *stream, uint32_t index, uint32_t frames) {
  const model_op *op = &stream->model->ops[index];
  const float *in[PLAN_INPUTS] = {NULL};
  for (uint32_t i = 0; i < op->operator->inputs; i++) in[i] = stream->values[op->inputs[i]];
  const uint32_t rows = rows_of(stream->model, op->inputs[0], frames);
  return op->operator->run(op, &stream->scratch, &stream->states[index], in, rows, stream->blocks[index + 1]);
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
  derive_states(stream);
  return TIDE_E_RANGE;
}

/* Whether every id is whole and in all tables. */
static int ids_ok(const float *ids, size_t count, uint32_t rows) {
  for (size_t i = 0; i < count; i++) {
    if (!(ids[i] >= 0.0f && ids[i] < (float)rows && ids[i] == floorf(ids[i]))) return 0;
  }
  return 1;
}

static int input_ok(const tide_model *model, const float *frames, size_t count) {
  if (model->ids) return ids_ok(frames, count, model->ids);
  return model->variant->in_range(frames, count * model->header.input_width);
}

/* Consumes all frames or none. */
static tide_status consume(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {
  const uint32_t width = stream->model->header.input_width, most = stream->model->variant->block;
  if (!input_ok(stream->model, frames, count)) return TIDE_E_INPUT;
  if (stream->model->fallible) memcpy(stream->before, stream->carried, stream->carried_bytes);
  for (size_t done = 0; done < count;) {
    const uint32_t block = count - done < most ? (uint32_t)(count - done) : most;
    const int last = done + block == count;
    if (!run_block(stream, frames + done * width, block, last)) return roll_back(stream);
    copy_outputs(stream, done, block, last, outputs);
    done += block;
  }
  return TIDE_OK;
}

/* A counter stays at its end: 600,000 years at a million frames a second, sooner in a snapshot that says so. */
static void count_up(uint64_t *counter, uint64_t more) {
  *counter = more < UINT64_MAX - *counter ? *counter + more : UINT64_MAX;
}

size_t tide_rows(const tide_stream *stream, uint32_t output, size_t count) {
  return tide_output_timed(stream->model, output) ? count : count > 0;
}

size_t tide_rest(const tide_stream *stream, uint32_t output) {
  (void)stream, (void)output;
  return 0;
}

tide_status tide_finish(tide_stream *stream, float *const *outputs) {
  (void)outputs;
  if (stream->finished) return TIDE_E_FINISHED;
  stream->finished = 1;
  return TIDE_OK;
}

tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {
  if (stream->finished) return TIDE_E_FINISHED;
  const tide_status status = consume(stream, frames, count, outputs);
  count_up(status == TIDE_OK ? &stream->frames : &stream->refused, count);
  return status;
}
