/* Groups: streams of one model in rows, stepped together. */
#include <math.h>
#include <string.h>

#include "engine.h"

typedef struct group_row {
  tide_stream *stream;
  int joined;
  int pushed; /* in the current push: no row is pushed twice */
} group_row;

struct tide_group {
  const tide_model *model;
  uint32_t rows;
  group_row *row; /* [rows] */
  tide_room *room;
  size_t room_bytes, stream_bytes;
};

static size_t room_bytes(const tide_model *model, uint32_t rows) {
  tide_arena arena = {0};
  tide_lay_room(&arena, model, rows);
  return arena.used;
}

static size_t stream_bytes(const tide_model *model) {
  tide_arena arena = {0};
  tide_lay_stream(&arena, model, NULL);
  return arena.used;
}

/* Clear memory and lay it out again. All is cleared because the padding of codes is read. */
static tide_room *new_room(void *memory, size_t bytes, const tide_model *model, uint32_t rows) {
  tide_arena arena = {.base = tide_clear(memory, bytes)};
  return tide_lay_room(&arena, model, rows);
}

static tide_stream *new_stream(void *memory, size_t bytes, const tide_model *model, tide_room *room) {
  tide_arena arena = {.base = tide_clear(memory, bytes)};
  tide_stream *stream = tide_lay_stream(&arena, model, room);
  tide_reset(stream);
  return stream;
}

/* The group, its rows, and the room. The streams of the rows follow. */
static tide_group *lay_group(tide_arena *arena, const tide_model *model, uint32_t rows) {
  tide_group *group = tide_take(arena, sizeof *group);
  group_row *row = tide_take(arena, rows * sizeof *row);
  const size_t bytes = room_bytes(model, rows);
  void *room = tide_take(arena, bytes);
  if (group) *group = (tide_group){model, rows, row, new_room(room, bytes, model, rows), bytes, stream_bytes(model)};
  return group;
}

/* For more rows than addresses have room for, a size that no allocation gives: with 32 bits a product would wrap. */
size_t tide_group_bytes(const tide_model *model, uint32_t rows) {
  tide_arena arena = {0}, one = {0};
  tide_take(&one, stream_bytes(model));
  if (model->late) return 0;
  if (rows > SIZE_MAX / 2 / (one.used + sizeof(group_row))) return SIZE_MAX - 4095;
  lay_group(&arena, model, rows);
  return arena.used + rows * one.used;
}

tide_group *tide_group_init(void *memory, const tide_model *model, uint32_t rows) {
  tide_arena arena = {.base = memory};
  tide_group *group = lay_group(&arena, model, rows);
  for (uint32_t i = 0; i < rows; i++) {
    void *place = tide_take(&arena, group->stream_bytes);
    group->row[i] = (group_row){new_stream(place, group->stream_bytes, model, group->room), 1, 0};
  }
  return group;
}

/* ---- rows ---- */

uint32_t tide_group_rows(const tide_group *group) { return group->rows; }

tide_stream *tide_group_stream(const tide_group *group, uint32_t row) { return group->row[row].stream; }

int tide_group_joined(const tide_group *group, uint32_t row) { return group->row[row].joined; }

void tide_group_join(tide_group *group, uint32_t row) { group->row[row].joined = 1; }

/* The room may still hold values of the last push, so it is cleared as well. */
void tide_group_leave(tide_group *group, uint32_t row) {
  new_room(group->room, group->room_bytes, group->model, group->rows);
  new_stream(group->row[row].stream, group->stream_bytes, group->model, group->room);
  group->row[row].joined = 0;
}

/* ---- push ---- */

/* A refused row has no answer: NaN, so that what was there is not taken for one. */
static void blank(const tide_model *model, size_t place, size_t count, float *const *outputs) {
  for (uint32_t i = 0; i < model->header.outputs; i++) {
    const model_op *op = tide_output_op(model, i);
    const size_t values = (op->timed ? count : count > 0) * op->width;
    for (size_t k = 0; k < values; k++) outputs[i][place * values + k] = NAN;
  }
}

/* Whether a row may take part in the current push: it exists, has joined, and is not named twice. */
static int may_step(const tide_group *group, uint32_t row) {
  return row < group->rows && group->row[row].joined && !group->row[row].pushed;
}

/* Runs a batch and writes each row's status. */
static void settle(tide_batch *batch, size_t count, float *const *outputs, tide_status *statuses) {
  if (batch->rows == 0) return;
  tide_consume(batch, count, outputs);
  for (uint32_t i = 0; i < batch->rows; i++) {
    statuses[batch->places[i]] = batch->streams[i]->status;
    tide_account(batch->streams[i], count);
  }
  batch->rows = 0;
}

static tide_status admit(tide_group *group, uint32_t row, const float *frames, size_t count) {
  if (!may_step(group, row)) return TIDE_E_ROW;
  group_row *r = &group->row[row];
  r->pushed = 1;
  r->stream->status = tide_admit(r->stream, frames, count);
  return r->stream->status == TIDE_OK ? TIDE_OK : tide_account(r->stream, count);
}

tide_status tide_group_push(tide_group *group, const uint32_t *rows, size_t row_count, const float *frames,
                            size_t count, float *const *outputs, tide_status *statuses) {
  const size_t chunk = count * group->model->header.input_width;
  tide_batch batch = {.model = group->model, .room = group->room};
  for (size_t i = 0; i < row_count; i++) {
    const float *own = frames + i * chunk;
    statuses[i] = admit(group, rows[i], own, count);
    if (statuses[i] != TIDE_OK) continue;
    batch.streams[batch.rows] = group->row[rows[i]].stream;
    batch.frames[batch.rows] = own;
    batch.places[batch.rows++] = i;
    if (batch.rows == group->model->variant->block) settle(&batch, count, outputs, statuses);
  }
  settle(&batch, count, outputs, statuses);
  tide_status first = TIDE_OK;
  for (size_t i = row_count; i-- > 0;) {
    if (statuses[i] != TIDE_OK) blank(group->model, i, count, outputs), first = statuses[i];
    if (rows[i] < group->rows) group->row[rows[i]].pushed = 0;
  }
  return first;
}
