/* Streams: what a sequence in progress carries. */
#include <string.h>

#include "bytes.h"
#include "engine.h"

static op_size size_of(const tide_model *model, uint32_t op) {
  const tide_operator *operator = model->ops[op].operator;
  return operator->size ? operator->size(&model->ops[op], model->variant) : (op_size){0, 0};
}

static void lay_states(tide_arena *arena, const tide_model *model, tide_stream *stream) {
  const uint32_t ops = model->header.ops;
  size_t floats = 0;
  for (uint32_t i = 0; i < ops; i++) floats += size_of(model, i).floats;
  op_state *states = tide_take(arena, ops * sizeof *states);
  float *carried = tide_take(arena, floats * sizeof *carried);
  float *before = tide_take(arena, model->fallible ? floats * sizeof *before : 0);
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

tide_stream *tide_lay_stream(tide_arena *arena, const tide_model *model, tide_room *room) {
  tide_stream *stream = tide_take(arena, sizeof *stream);
  if (stream) *stream = (tide_stream){.model = model, .room = room};
  lay_states(arena, model, stream);
  return stream;
}

tide_room *tide_lay_room(tide_arena *arena, const tide_model *model, uint32_t streams) {
  const uint32_t ops = model->header.ops, most = model->variant->block;
  tide_room *room = tide_take(arena, sizeof *room);
  const float **values = tide_take(arena, (ops + 1) * sizeof *values);
  float **blocks = tide_take(arena, (ops + 1) * sizeof *blocks);
  uint8_t *codes = tide_take(arena, most * model->code_bytes);
  float *scales = tide_take(arena, most * sizeof *scales);
  float *rows = tide_take(arena, most * model->row_floats * sizeof *rows);
  float *gathered = tide_take(arena, model->gathered * sizeof *gathered);
  uint32_t *counts = tide_take(arena, (ops + 1) * sizeof *counts);
  uint8_t *closed = tide_take(arena, ops + 1);
  size_t *totals = tide_take(arena, (ops + 1) * sizeof *totals);
  if (room)
    *room = (tide_room){values, blocks, counts, closed, totals, {model->variant, codes, scales, rows, gathered}};
  for (uint32_t i = 0; i <= ops; i++) {
    const uint32_t width = i ? model->ops[i - 1].width : streams > 1 ? model->header.input_width : 0;
    float *block = tide_take(arena, most * width * sizeof *block);
    if (room) values[i] = blocks[i] = block;
  }
  return room;
}

static tide_stream *lay_alone(tide_arena *arena, const tide_model *model) {
  tide_stream *stream = tide_lay_stream(arena, model, NULL);
  tide_room *room = tide_lay_room(arena, model, 1);
  if (stream) stream->room = room;
  return stream;
}

/* Rows that are held back come last. They may take much memory, so it is not touched before it is used. */
static void lay_held(tide_arena *arena, const tide_model *model, tide_stream *stream) {
  for (uint32_t i = 0; i < model->header.ops; i++) {
    tide_late_lay(arena, &model->clocks, &model->ops[i], stream ? &stream->states[i] : NULL);
  }
}

size_t tide_stream_bytes(const tide_model *model) {
  tide_arena arena = {0};
  lay_alone(&arena, model);
  lay_held(&arena, model, NULL);
  return arena.used;
}

void tide_derive(tide_stream *stream) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    const model_op *op = &model->ops[i];
    if (op->operator->derive) op->operator->derive(op, model->variant, &stream->states[i]);
  }
}

void tide_undo_late(tide_stream *stream, uint64_t frames) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; model->late && i < model->header.ops; i++) {
    tide_late_undo(&model->clocks, model->ops, &model->ops[i], frames, &stream->states[i]);
  }
}

#ifndef TIDE_WITHOUT_starts
/* Sets every state vector of an operation to what it starts from; they are zeros now. */
static void start_op(const tide_model *model, const model_op *op, op_state *state) {
  for (uint32_t i = 0; i < op->vectors_seen; i++) {
    if (!op->initial[i]) continue;
    const op_vector vector = op->operator->vector(op, model->variant, i);
    memcpy(state->floats + vector.first, op->initial[i], vector.count * sizeof(float));
  }
}
#endif

void tide_reset(tide_stream *stream) {
  memset(stream->carried, 0, stream->carried_bytes);
#ifndef TIDE_WITHOUT_starts
  const tide_model *model = stream->model;
  for (uint32_t i = 0; i < model->header.ops; i++) start_op(model, &model->ops[i], &stream->states[i]);
#endif
  stream->frames = stream->refused = 0;
  stream->finished = 0;
  tide_undo_late(stream, 0);
  tide_derive(stream);
}

tide_stream *tide_stream_init(void *memory, const tide_model *model) {
  tide_arena arena = {0};
  lay_alone(&arena, model);
  tide_clear(memory, arena.used); /* the padding of codes is read */
  arena = (tide_arena){.base = memory};
  tide_stream *stream = lay_alone(&arena, model);
  lay_held(&arena, model, stream);
  tide_reset(stream);
  return stream;
}

float *tide_state_at(const tide_stream *stream, uint32_t state) {
  uint32_t owner;
  const op_vector vector = tide_state_vector(stream->model, state, &owner);
  return stream->states[owner].floats + vector.first;
}

void tide_state_read(const tide_stream *stream, uint32_t state, float *values) {
  memcpy(values, tide_state_at(stream, state), tide_state_width(stream->model, state) * sizeof *values);
}

tide_status tide_state_write(tide_stream *stream, uint32_t state, const float *values) {
  uint32_t owner;
  const tide_model *model = stream->model;
  const op_vector vector = tide_state_vector(model, state, &owner);
  const model_op *op = &model->ops[owner];
  op_state *own = &stream->states[owner];
  if (stream->finished) return TIDE_E_FINISHED;
  if (!model->variant->in_range(values, vector.count)) return TIDE_E_INPUT;
  memcpy(own->floats + vector.first, values, vector.count * sizeof *values);
  if (op->operator->derive) op->operator->derive(op, model->variant, own);
  return TIDE_OK;
}

const float *tide_held(const tide_stream *stream, uint32_t op, size_t *count) {
  const op_held *held = &stream->states[op].held;
  const size_t width = held->count ? tide_held_width(&stream->model->ops[op]) : 0;
  *count = held->count * width;
  return held->rows ? held->rows + held->first * width : NULL;
}

/* Loads the rows that late operations hold back. */
static void load_held(tide_stream *stream, const uint8_t *values, uint64_t frames) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    const model_op *op = &model->ops[i];
    op_held *held = &stream->states[i].held;
    tide_late_count(&model->clocks, model->ops, op, frames, &stream->states[i]);
    if (!op->operator->holds) continue;
    held->first = tide_late_stays(&model->clocks, op) ? (uint32_t)stream->states[i].made : 0;
    float *at = held->rows + (size_t)held->first * tide_held_width(op);
    for (size_t k = 0; k < (size_t)held->count * tide_held_width(op); k++, values += sizeof *at)
      at[k] = float_at(values);
  }
}

void tide_stream_load(tide_stream *stream, const uint8_t *values, uint64_t frames, uint64_t refused, int finished) {
  tide_reset(stream);
  for (uint32_t state = 0; state < stream->model->states; state++) {
    const uint32_t width = tide_state_width(stream->model, state);
    float *at = tide_state_at(stream, state);
    for (uint32_t i = 0; i < width; i++, values += sizeof *at) at[i] = float_at(values);
  }
  stream->frames = frames, stream->refused = refused, stream->finished = finished;
  if (stream->model->late && !finished) load_held(stream, values, frames);
  tide_derive(stream);
}

uint64_t tide_frames(const tide_stream *stream) { return stream->frames; }

uint64_t tide_refused(const tide_stream *stream) { return stream->refused; }

int tide_finished(const tide_stream *stream) { return stream->finished; }
