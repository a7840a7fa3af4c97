/* Pushes: frames of one stream or of several, block after block through a plan's operations. */
#include <string.h>

#include "engine.h"

#ifndef TIDE_WITHOUT_products
size_t tide_project(const op_scratch *scratch, const tide_matrix *w, const float *x, uint32_t frames, float *rows) {
  const tide_variant *variant = scratch->variant;
  for (uint32_t t = 0; t < frames; t++) {
    scratch->scales[t] = variant->encode(w, x + (size_t)t * w->columns, scratch->codes + (size_t)t * w->code_bytes);
  }
  variant->project(w, scratch->codes, scratch->scales, frames, rows);
  return (size_t)w->vectors * variant->lanes;
}
#endif

/* ---- one operation over a block; 0 when a result leaves 2^64 ---- */

static int has_rows(const tide_model *model, uint32_t value) { return value == 0 || model->ops[value - 1].timed; }

/* A cell whose streams share the reads of its weights; it cannot fail. */
static int run_cell(const tide_batch *b, uint32_t index, const float *in, uint32_t rows, float *out) {
  const model_op *op = &b->model->ops[index];
  op_state *states[MOST_BLOCK];
  for (uint32_t i = 0; i < b->rows; i++) states[i] = &b->streams[i]->states[index];
  op->operator->run_rows(op, &b->room->scratch, states, b->rows, in, rows, out);
  return 1;
}

/* Stream after stream. */
static int run_streams(const tide_batch *b, uint32_t index, const float *const *in, uint32_t rows, float *out) {
  const model_op *op = &b->model->ops[index];
  for (uint32_t i = 0; i < b->rows; i++) {
    const float *own[PLAN_INPUTS] = {NULL};
    for (uint32_t k = 0; k < op->operator->inputs; k++) own[k] = in[k] + (size_t)i * rows * op->in_widths[k];
    op_state *state = &b->streams[i]->states[index];
    if (!op->operator->run(op, &b->room->scratch, state, own, rows, out)) return 0;
    out += (size_t)(op->timed ? rows : 1) * op->width;
  }
  return 1;
}

/* What carries nothing takes the rows of all streams as those of one. */
static int run_op(const tide_batch *b, uint32_t index, uint32_t rows) {
  const model_op *op = &b->model->ops[index];
  const float *in[PLAN_INPUTS] = {NULL};
  for (uint32_t i = 0; i < op->operator->inputs; i++) in[i] = b->room->values[op->inputs[i]];
  const int same_rows = op->timed == has_rows(b->model, op->inputs[0]);
  float *out = b->room->blocks[index + 1];
  if (op->operator->run_rows) return run_cell(b, index, in[0], rows, out);
  if (op->operator->size || !same_rows) return run_streams(b, index, in, rows, out);
  return op->operator->run(op, &b->room->scratch, NULL, in, b->rows * rows, out);
}

/* The rows of a late operation that are ready; `more` is set if others have no room. */
static int run_late(const tide_batch *b, uint32_t index, int *more) {
  const model_op *op = &b->model->ops[index];
  tide_room *room = b->room;
  op_state *state = &b->streams[0]->states[index];
  op_flow flow = {.out = room->blocks[index + 1], .closing = 1};
  for (uint32_t i = 0; i < op->operator->inputs; i++) {
    flow.in[i] = room->values[op->inputs[i]], flow.rows[i] = room->rows[op->inputs[i]];
    flow.closing &= room->closed[op->inputs[i]];
  }
  if (!op->operator->flow(op, &room->scratch, state, &flow)) return 0;
  state->read += flow.rows[op->operator->holds ? op->operator->holds - 1 : 0], state->made += flow.made;
  room->rows[index + 1] = flow.made;
  room->closed[index + 1] = (uint8_t)(flow.closing && !flow.more);
  *more |= flow.more;
  return 1;
}

/* An operation on the rows that there are of what it reads. */
static int pass_op(const tide_batch *b, uint32_t index, int *more) {
  const model_op *op = &b->model->ops[index];
  if (op->late) return run_late(b, index, more);
  const uint32_t rows = b->room->rows[op->inputs[0]];
  b->room->rows[index + 1] = rows, b->room->closed[index + 1] = b->room->closed[op->inputs[0]];
  return !rows || run_op(b, index, rows);
}

/* ---- a push ---- */

/* The input of a block: where the caller has that of one stream; that of several side by side. */
static void gather(const tide_batch *b, size_t done, uint32_t frames) {
  const size_t width = b->model->header.input_width, count = frames * width;
  float *at = b->room->blocks[0];
  b->room->values[0] = b->rows > 1 ? at : b->frames[0] ? b->frames[0] + done * width : NULL;
  for (uint32_t i = 0; b->rows > 1 && i < b->rows; i++, at += count) {
    memcpy(at, b->frames[i] + done * width, count * sizeof *at);
  }
}

/* Runs frames through all that reads rows. */
static int run_pass(const tide_batch *b, size_t done, uint32_t frames, int closing, int *more) {
  gather(b, done, frames);
  b->room->rows[0] = frames, b->room->closed[0] = (uint8_t)closing;
  for (uint32_t i = 0; i < b->model->header.ops; i++) {
    if (has_rows(b->model, b->model->ops[i].inputs[0]) && !pass_op(b, i, more)) return 0;
  }
  return 1;
}

/* What has one row a push is computed when all rows are there. */
static int run_ends(const tide_batch *b) {
  size_t *totals = b->room->totals;
  for (uint32_t i = 0; i < b->model->header.ops; i++) {
    if (b->model->ops[i].timed) continue;
    const uint32_t from = b->model->ops[i].inputs[0];
    totals[i + 1] = totals[from] > 0;
    if (!has_rows(b->model, from) && totals[from] && !run_op(b, i, 1)) return 0;
  }
  return 1;
}

/* The rows of timed outputs, or what has one row a push. Outputs hold `count` rows of each stream. */
static void copy_outputs(const tide_batch *b, size_t count, int timed, float *const *outputs) {
  for (uint32_t i = 0; i < b->model->header.outputs; i++) {
    const model_op *op = tide_output_op(b->model, i);
    const uint32_t value = plan_read_output(&b->model->header, i);
    const size_t rows = timed ? b->room->rows[value] : b->room->totals[value], values = rows * op->width;
    if (op->timed != timed || !rows) continue;
    for (uint32_t k = 0; k < b->rows; k++) {
      const size_t row = timed ? b->places[k] * count + b->room->totals[value] : b->places[k];
      memcpy(outputs[i] + row * op->width, b->room->values[value] + k * values, values * sizeof(float));
    }
  }
}

static void count_rows(const tide_batch *b) {
  for (uint32_t value = 0; value <= b->model->header.ops; value++) b->room->totals[value] += b->room->rows[value];
}

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

/* Runs frames, the last ones of the stream if `closing`, block after block. */
static int run_all(const tide_batch *b, size_t count, int closing, float *const *outputs) {
  const uint32_t most = b->model->variant->block / b->rows;
  memset(b->room->totals, 0, (b->model->header.ops + 1) * sizeof *b->room->totals);
  int more = closing;
  for (size_t done = 0; done < count || more;) {
    const uint32_t frames = count - done < most ? (uint32_t)(count - done) : most;
    more = 0;
    if (!run_pass(b, done, frames, closing && done + frames == count, &more)) return 0;
    copy_outputs(b, count, 1, outputs);
    count_rows(b);
    done += frames;
  }
  if (!run_ends(b)) return 0;
  copy_outputs(b, count, 0, outputs);
  return 1;
}

static void batch_one(tide_batch *b, tide_stream *stream, const float *frames, size_t place) {
  b->model = stream->model, b->room = stream->room, b->rows = 1;
  b->streams[0] = stream, b->frames[0] = frames, b->places[0] = place;
}

/* All or none of one stream's frames. */
static void run_one(const tide_batch *b, size_t count, int closing, float *const *outputs) {
  if (run_all(b, count, closing, outputs)) return;
  roll_back(b->streams[0]);
  b->streams[0]->status = TIDE_E_RANGE;
}

/* Where a result of several streams leaves 2^64, all go back, and then one by one: a refusal is its own stream's. */
void tide_consume(const tide_batch *b, size_t count, float *const *outputs) {
  for (uint32_t i = 0; i < b->rows; i++) save(b->streams[i], b->streams[i]->frames + count, 0);
  if (b->rows == 1) {
    run_one(b, count, 0, outputs);
  } else if (!run_all(b, count, 0, outputs)) {
    for (uint32_t i = 0; i < b->rows; i++) {
      tide_batch alone;
      batch_one(&alone, b->streams[i], b->frames[i], b->places[i]);
      roll_back(b->streams[i]);
      run_one(&alone, count, 0, outputs);
    }
  }
}

#ifndef TIDE_WITHOUT_embedding
/* Whether every id is whole and in all tables. */
static int ids_ok(const float *ids, size_t count, uint32_t rows) {
  for (size_t i = 0; i < count; i++) {
    if (!(ids[i] >= 0.0f && ids[i] < (float)rows && ids[i] == (float)(uint32_t)ids[i])) return 0;
  }
  return 1;
}
#endif

static int input_ok(const tide_model *model, const float *frames, size_t count) {
#ifndef TIDE_WITHOUT_embedding
  if (model->ids) return ids_ok(frames, count, model->ids);
#endif
  return model->variant->in_range(frames, count * model->header.input_width);
}

tide_status tide_admit(const tide_stream *stream, const float *frames, size_t count) {
  const uint32_t limit = stream->model->clocks.limit;
  if (stream->finished) return TIDE_E_FINISHED;
  if (limit && count > limit - stream->frames) return TIDE_E_LIMIT;
  return input_ok(stream->model, frames, count) ? TIDE_OK : TIDE_E_INPUT;
}

/* A counter stays at its end: 600,000 years at a million frames a second, sooner in a snapshot that says so. */
static void count_up(uint64_t *counter, uint64_t more) {
  *counter = more < UINT64_MAX - *counter ? *counter + more : UINT64_MAX;
}

tide_status tide_account(tide_stream *stream, size_t count) {
  if (stream->status == TIDE_OK) count_up(&stream->frames, count);
  else if (stream->status != TIDE_E_FINISHED) count_up(&stream->refused, count);
  return stream->status;
}

/* ---- one stream ---- */

/* Rows of an output when the stream has consumed `frames` and may go on. */
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
