/* Pushes: a stream takes all frames of a push, or refuses all. */
#include <string.h>

#include "engine.h"

static void save(tide_stream *stream, uint64_t next, int closing) {
  const tide_model *model = stream->model;
  stream->status = TIDE_OK;
  if (!model->fallible) return;
  memcpy(stream->before, stream->carried, stream->carried_bytes);
  for (uint32_t i = 0; model->late && i < model->header.ops; i++) {
    tide_late_save(&model->clocks, &model->ops[i], next, closing, &stream->states[i]);
  }
}

static void roll_back(tide_stream *stream) {
  memcpy(stream->carried, stream->before, stream->carried_bytes);
  tide_undo_late(stream, stream->frames);
  tide_derive(stream);
}

static void batch_one(tide_batch *b, tide_stream *stream, const float *frames, size_t place) {
  b->model = stream->model, b->room = stream->room, b->rows = 1;
  b->streams[0] = stream, b->frames[0] = frames, b->places[0] = place;
}

/* Takes all of one stream's frames or none. */
static void run_one(const tide_batch *b, size_t count, int closing, float *const *outputs) {
  if (tide_run(b, count, closing, outputs)) return;
  roll_back(b->streams[0]);
  b->streams[0]->status = TIDE_E_RANGE;
}

/* If a result of several streams leaves 2^64, all are rolled back and run again one by one: so only the stream at fault
 * is refused. */
void tide_consume(const tide_batch *b, size_t count, float *const *outputs) {
  for (uint32_t i = 0; i < b->rows; i++) save(b->streams[i], b->streams[i]->frames + count, 0);
  if (b->rows == 1) {
    run_one(b, count, 0, outputs);
  } else if (!tide_run(b, count, 0, outputs)) {
    for (uint32_t i = 0; i < b->rows; i++) {
      tide_batch alone;
      batch_one(&alone, b->streams[i], b->frames[i], b->places[i]);
      roll_back(b->streams[i]);
      run_one(&alone, count, 0, outputs);
    }
  }
}

#ifndef TIDE_WITHOUT_embedding
/* Whether every id is a whole number and in the table. */
static int in_table(const model_op *table, const float *frames, size_t count) {
  const float *id = frames + table->counts[ID_FEATURE], rows = (float)table->counts[ID_ROWS];
  for (size_t i = 0; i < count; i++, id += table->in_widths[0]) {
    if (!(*id >= 0.0f && *id < rows && *id == (float)(uint32_t)*id)) return 0;
  }
  return 1;
}

static int ids_ok(const tide_model *model, const float *frames, size_t count) {
  for (uint32_t i = 0; i < model->header.ops; i++) {
    if (model->ops[i].operator->ids && !in_table(&model->ops[i], frames, count)) return 0;
  }
  return 1;
}
#endif

static int input_ok(const tide_model *model, const float *frames, size_t count) {
#ifndef TIDE_WITHOUT_embedding
  if (model->looks_up && !ids_ok(model, frames, count)) return 0;
#endif
  return model->variant->in_range(frames, count * model->header.input_width);
}

tide_status tide_admit(const tide_stream *stream, const float *frames, size_t count) {
  const uint32_t limit = stream->model->clocks.limit;
  if (stream->finished) return TIDE_E_FINISHED;
  if (!tide_rounds_to_nearest()) return TIDE_E_ROUNDING;
  if (limit && count > limit - stream->frames) return TIDE_E_LIMIT;
  return input_ok(stream->model, frames, count) ? TIDE_OK : TIDE_E_INPUT;
}

/* A counter stays at its maximum. It takes 600,000 years at a million frames per second, or a snapshot that says so. */
static void count_up(uint64_t *counter, uint64_t more) {
  *counter = more < UINT64_MAX - *counter ? *counter + more : UINT64_MAX;
}

tide_status tide_account(tide_stream *stream, size_t count) {
  if (stream->status == TIDE_OK) count_up(&stream->frames, count);
  else if (stream->status != TIDE_E_FINISHED && stream->status != TIDE_E_ROUNDING) count_up(&stream->refused, count);
  return stream->status;
}

/* ---- one stream ---- */

/* Rows of an output when the stream has consumed `frames` and is not finished. */
static uint64_t rows_at(const tide_stream *stream, uint32_t output, uint64_t frames) {
  return tide_clock_rows(&stream->model->clocks, tide_output_op(stream->model, output)->clock, frames);
}

static size_t rows_of(const tide_stream *stream, uint32_t output, uint64_t rows) {
  return tide_output_timed(stream->model, output) ? (size_t)rows : rows > 0;
}

size_t tide_rows(const tide_stream *stream, uint32_t output, size_t count) {
  const uint64_t frames = stream->frames;
  if (!stream->model->late) return rows_of(stream, output, count);
  return rows_of(stream, output, rows_at(stream, output, frames + count) - rows_at(stream, output, frames));
}

size_t tide_rest(const tide_stream *stream, uint32_t output) {
  if (stream->finished || !stream->model->late) return 0;
  return rows_of(stream, output, stream->frames - rows_at(stream, output, stream->frames));
}

tide_status tide_finish(tide_stream *stream, float *const *outputs) {
  tide_batch b;
  batch_one(&b, stream, NULL, 0);
  if (stream->finished) return TIDE_E_FINISHED;
  if (!tide_rounds_to_nearest()) return TIDE_E_ROUNDING;
  save(stream, stream->frames, 1);
  run_one(&b, 0, stream->model->late, outputs);
  stream->finished = stream->status == TIDE_OK;
  return stream->status;
}

tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {
  tide_batch b;
  batch_one(&b, stream, frames, 0);
  stream->status = tide_admit(stream, frames, count);
  if (stream->status == TIDE_OK) tide_consume(&b, count, outputs);
  return tide_account(stream, count);
}
