/* Models and streams: a plan's operations, one after the other, over blocks of frames. */
#include <math.h>
#include <string.h>

#include "bytes.h"
#include "engine.h"
#include "late.h"

#define TIDE_OPERATOR(name) extern const tide_operator tide_operator_##name;
#define TIDE_NO_OPERATOR(name)
#include "operators.inc"
#undef TIDE_OPERATOR
#undef TIDE_NO_OPERATOR

static const tide_operator *const OPERATORS[] = {
#define TIDE_OPERATOR(name) &tide_operator_##name,
#define TIDE_NO_OPERATOR(name) NULL,
#include "operators.inc"
#undef TIDE_OPERATOR
#undef TIDE_NO_OPERATOR
};

struct tide_model {
  const tide_variant *variant;
  plan_header header;
  const model_op *ops;
  uint32_t states;
  uint32_t ids; /* ids that every table has; 0: the input is floats */
  int fallible; /* some operation's result may leave 2^64 */
  int late;     /* some operation answers late */
  tide_clocks clocks;
  size_t code_bytes, row_floats; /* most that a frame's codes and packed rows need in any operation */
};

struct tide_stream {
  const tide_model *model;
  const float **values; /* [ops + 1] of the block at hand, [frames, width] each */
  float **blocks;       /* [ops + 1], room for them; [0] is unused: input is read where the caller has it */
  uint32_t *rows;       /* [ops + 1], how many */
  uint8_t *closed;      /* [ops + 1], whether they are the last of the stream */
  size_t *totals;       /* [ops + 1], rows in the push at hand; of a value with one row a push 1, or 0 */
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
  model->late |= op->late;
  if (op->operator->ids && op->counts[0] < model->ids) model->ids = op->counts[0];
  model->states += op->operator->vectors;
  model->fallible |= !op->operator->bounded;
  for (uint32_t i = 0; i < PLAN_MATRICES; i++) {
    model->code_bytes = larger(model->code_bytes, op->matrices[i].code_bytes);
    model->row_floats = larger(model->row_floats, (size_t)op->matrices[i].vectors * model->variant->lanes);
  }
}

/* When an operation's rows come, and what it must hold back for that. */
static void time_op(tide_clocks *clocks, const plan_op *source, const plan_shape *in, model_op *op) {
  const tide_operator *operator = op->operator;
  op->clock = operator->clock ? operator->clock(source, in, clocks) : in[0].clock;
  op->late = operator->holds || op->clock != in[0].clock;
  op->whole = clocks->block == 0;
  op->block = op->whole ? clocks->limit : clocks->block, op->lookahead = clocks->lookahead;
  if (operator->holds)
    op->room = (uint32_t)tide_late_room(clocks, operator->holds, in[operator->holds - 1].clock, op->clock);
}

static void shape_op(tide_model *model, const plan_op *source, model_op *ops, uint32_t index) {
  plan_shape in[PLAN_INPUTS];
  for (uint32_t i = 0; i < ops[index].operator->inputs; i++) {
    const model_op *maker = source->inputs[i] ? &ops[source->inputs[i] - 1] : NULL;
    in[i] = (plan_shape){model->header.input_width, 1, 0, 0};
    if (maker) in[i] = (plan_shape){maker->width, maker->timed, 0, maker->clock};
    ops[index].in_widths[i] = in[i].width;
  }
  const plan_shape out = ops[index].operator->shape(source, in);
  ops[index].width = out.width, ops[index].timed = out.timed;
  time_op(&model->clocks, source, in, &ops[index]);
}

/* Lays a model out in the arena; with a base of NULL it only counts. */
static tide_model *lay_model(tide_arena *arena, const void *plan, const tide_variant *variant) {
  plan_header header = plan_read_header(plan);
  if (!plan_order_is_native()) {
    uint8_t *native = tide_take(arena, (size_t)header.bytes);
    if (native) plan_to_native(plan, native), header.arrays = native;
  }
  tide_model *model = tide_take(arena, sizeof *model);
  model_op *ops = tide_take(arena, header.ops * sizeof *ops);
  const uint32_t ids = header.input_ids ? PLAN_MAX_IDS : 0;
  if (model) *model = (tide_model){.variant = variant, .header = header, .ops = ops, .ids = ids};
  if (model) model->clocks = tide_clocks_of(header.block, header.lookahead, header.limit);
  for (uint32_t i = 0; i < header.ops; i++) {
    const plan_op source = plan_read_op(&header, i);
    const model_op op = prepare_op(arena, &source, variant);
    if (!model) continue;
    ops[i] = op;
    shape_op(model, &source, ops, i);
    account_op(model, &ops[i]);
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

uint32_t tide_limit(const tide_model *model) { return model->clocks.limit; }

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
  uint32_t *counts = tide_take(arena, (ops + 1) * sizeof *counts);
  uint8_t *closed = tide_take(arena, ops + 1);
  size_t *totals = tide_take(arena, (ops + 1) * sizeof *totals);
  if (stream) {
    *stream = (tide_stream){
        .model = model, .values = values, .blocks = blocks, .rows = counts, .closed = closed, .totals = totals};
    stream->scratch = (op_scratch){model->variant, codes, scales, rows};
  }
  for (uint32_t i = 0; i < ops; i++) {
    float *block = tide_take(arena, most * model->ops[i].width * sizeof *block);
    if (stream) values[i + 1] = blocks[i + 1] = block;
  }
  lay_states(arena, model, stream);
  return stream;
}

/* What is held back lies behind the rest. It may be much, so it is not touched before it is used. */
static void lay_held(tide_arena *arena, const tide_model *model, tide_stream *stream) {
  for (uint32_t i = 0; i < model->header.ops; i++) {
    tide_late_lay(arena, &model->clocks, &model->ops[i], stream ? &stream->states[i] : NULL);
  }
}

size_t tide_stream_bytes(const tide_model *model) {
  tide_arena arena = {0};
  lay_stream(&arena, model);
  lay_held(&arena, model, NULL);
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

/* Puts what late operations hold back where it is when the stream has consumed `frames`, nothing overwritten. */
static void undo_late(tide_stream *stream, uint64_t frames) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; model->late && i < model->header.ops; i++) {
    tide_late_undo(&model->clocks, model->ops, &model->ops[i], frames, &stream->states[i]);
  }
}

void tide_reset(tide_stream *stream) {
  memset(stream->carried, 0, stream->carried_bytes);
  stream->frames = stream->refused = 0;
  stream->finished = 0;
  undo_late(stream, 0);
  derive_states(stream);
}

tide_stream *tide_stream_init(void *memory, const tide_model *model) {
  tide_arena arena = {0};
  lay_stream(&arena, model);
  memset(memory, 0, arena.used); /* the padding of codes is read */
  arena = (tide_arena){.base = memory};
  tide_stream *stream = lay_stream(&arena, model);
  lay_held(&arena, model, stream);
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

uint32_t tide_model_ops(const tide_model *model) { return model->header.ops; }

size_t tide_held_most(const tide_model *model) {
  size_t values = 0;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    const model_op *op = &model->ops[i];
    if (op->operator->holds) values += (size_t)op->room * tide_held_width(op);
  }
  return values;
}

size_t tide_held_at(const tide_model *model, uint64_t frames) {
  size_t values = 0;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    const model_op *op = &model->ops[i];
    const uint32_t rows = tide_late_held(&model->clocks, model->ops, op, frames);
    if (rows) values += (size_t)rows * tide_held_width(op);
  }
  return values;
}

int tide_frames_ok(const tide_model *model, uint64_t frames) {
  const uint64_t most = model->clocks.limit ? model->clocks.limit : model->late ? UINT64_MAX / 2 : UINT64_MAX;
  return frames <= most;
}

const float *tide_held(const tide_stream *stream, uint32_t op, size_t *count) {
  const op_held *held = &stream->states[op].held;
  const size_t width = held->count ? tide_held_width(&stream->model->ops[op]) : 0;
  *count = held->count * width;
  return held->rows ? held->rows + held->first * width : NULL;
}

/* Puts what late operations hold back in place. */
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

static int has_rows(const tide_model *model, uint32_t value) { return value == 0 || model->ops[value - 1].timed; }

/* The rows of a late operation that are ready; `more` is set if others have no room. */
static int run_late(tide_stream *stream, uint32_t index, int *more) {
  const model_op *op = &stream->model->ops[index];
  op_state *state = &stream->states[index];
  op_flow flow = {.out = stream->blocks[index + 1], .closing = 1};
  for (uint32_t i = 0; i < op->operator->inputs; i++) {
    flow.in[i] = stream->values[op->inputs[i]], flow.rows[i] = stream->rows[op->inputs[i]];
    flow.closing &= stream->closed[op->inputs[i]];
  }
  if (!op->operator->flow(op, &stream->scratch, state, &flow)) return 0;
  state->read += flow.rows[op->operator->holds ? op->operator->holds - 1 : 0], state->made += flow.made;
  stream->rows[index + 1] = flow.made;
  stream->closed[index + 1] = (uint8_t)(flow.closing && !flow.more);
  *more |= flow.more;
  return 1;
}

static int run_op(tide_stream *stream, uint32_t index, uint32_t rows) {
  const model_op *op = &stream->model->ops[index];
  const float *in[PLAN_INPUTS] = {NULL};
  for (uint32_t i = 0; i < op->operator->inputs; i++) in[i] = stream->values[op->inputs[i]];
  return op->operator->run(op, &stream->scratch, &stream->states[index], in, rows, stream->blocks[index + 1]);
}

/* An operation on the rows that there are of what it reads. */
static int pass_op(tide_stream *stream, uint32_t index, int *more) {
  const model_op *op = &stream->model->ops[index];
  if (op->late) return run_late(stream, index, more);
  const uint32_t rows = stream->rows[op->inputs[0]];
  stream->rows[index + 1] = rows, stream->closed[index + 1] = stream->closed[op->inputs[0]];
  return !rows || run_op(stream, index, rows);
}

/* Runs frames through all that reads rows. */
static int run_pass(tide_stream *stream, const float *x, uint32_t frames, int closing, int *more) {
  const tide_model *model = stream->model;
  stream->values[0] = x, stream->rows[0] = frames, stream->closed[0] = (uint8_t)closing;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    if (has_rows(model, model->ops[i].inputs[0]) && !pass_op(stream, i, more)) return 0;
  }
  return 1;
}

/* What has one row a push is computed when all rows are there. */
static int run_ends(tide_stream *stream) {
  const tide_model *model = stream->model;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    if (model->ops[i].timed) continue;
    const uint32_t from = model->ops[i].inputs[0];
    stream->totals[i + 1] = stream->totals[from] > 0;
    if (!has_rows(model, from) && stream->totals[from] && !run_op(stream, i, 1)) return 0;
  }
  return 1;
}

/* The rows of timed outputs, or what has one row a push. */
static void copy_outputs(const tide_stream *stream, int timed, float *const *outputs) {
  for (uint32_t i = 0; i < stream->model->header.outputs; i++) {
    const model_op *op = output_op(stream->model, i);
    const uint32_t value = plan_read_output(&stream->model->header, i);
    const size_t width = op->width, rows = timed ? stream->rows[value] : stream->totals[value];
    if (op->timed != timed || !rows) continue;
    memcpy(outputs[i] + (timed ? stream->totals[value] * width : 0), stream->values[value],
           rows * width * sizeof(float));
  }
}

static void count_rows(tide_stream *stream) {
  for (uint32_t value = 0; value <= stream->model->header.ops; value++) stream->totals[value] += stream->rows[value];
}

/* Runs frames, the last ones of the stream if `closing`, block after block; returns 0 when a value leaves 2^64. */
static int run_all(tide_stream *stream, const float *frames, size_t count, int closing, float *const *outputs) {
  const uint32_t width = stream->model->header.input_width, most = stream->model->variant->block;
  memset(stream->totals, 0, (stream->model->header.ops + 1) * sizeof *stream->totals);
  int more = closing;
  for (size_t done = 0; done < count || more;) {
    const uint32_t rows = count - done < most ? (uint32_t)(count - done) : most;
    const float *x = frames ? frames + done * width : NULL;
    more = 0;
    if (!run_pass(stream, x, rows, closing && done + rows == count, &more)) return 0;
    copy_outputs(stream, 1, outputs);
    count_rows(stream);
    done += rows;
  }
  if (!run_ends(stream)) return 0;
  copy_outputs(stream, 0, outputs);
  return 1;
}

static void save(tide_stream *stream, uint64_t next, int closing) {
  const tide_model *model = stream->model;
  if (!model->fallible) return;
  memcpy(stream->before, stream->carried, stream->carried_bytes);
  for (uint32_t i = 0; model->late && i < model->header.ops; i++) {
    tide_late_save(&model->clocks, &model->ops[i], next, closing, &stream->states[i]);
  }
}

static tide_status roll_back(tide_stream *stream) {
  memcpy(stream->carried, stream->before, stream->carried_bytes);
  undo_late(stream, stream->frames);
  derive_states(stream);
  return TIDE_E_RANGE;
}

/* Whether every id is whole and in all tables. */
static int ids_ok(const float *ids, size_t count, uint32_t rows) {
  for (size_t i = 0; i < count; i++) {
    if (!(ids[i] >= 0.0f && ids[i] < (float)rows && ids[i] == (float)(uint32_t)ids[i])) return 0;
  }
  return 1;
}

static int input_ok(const tide_model *model, const float *frames, size_t count) {
  if (model->ids) return ids_ok(frames, count, model->ids);
  return model->variant->in_range(frames, count * model->header.input_width);
}

/* Consumes all frames or none. */
static tide_status consume(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {
  const uint32_t limit = stream->model->clocks.limit;
  if (limit && count > limit - stream->frames) return TIDE_E_LIMIT;
  if (!input_ok(stream->model, frames, count)) return TIDE_E_INPUT;
  save(stream, stream->frames + count, 0);
  return run_all(stream, frames, count, 0, outputs) ? TIDE_OK : roll_back(stream);
}

/* A counter stays at its end: 600,000 years at a million frames a second, sooner in a snapshot that says so. */
static void count_up(uint64_t *counter, uint64_t more) {
  *counter = more < UINT64_MAX - *counter ? *counter + more : UINT64_MAX;
}

/* Rows of an output when the stream has consumed `frames` and may go on. */
static uint64_t rows_at(const tide_stream *stream, uint32_t output, uint64_t frames) {
  return tide_clock_rows(&stream->model->clocks, output_op(stream->model, output)->clock, frames);
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
  if (stream->finished) return TIDE_E_FINISHED;
  save(stream, stream->frames, 1);
  if (!run_all(stream, NULL, 0, stream->model->late, outputs)) return roll_back(stream);
  stream->finished = 1;
  return TIDE_OK;
}

tide_status tide_push(tide_stream *stream, const float *frames, size_t count, float *const *outputs) {
  if (stream->finished) return TIDE_E_FINISHED;
  const tide_status status = consume(stream, frames, count, outputs);
  count_up(status == TIDE_OK ? &stream->frames : &stream->refused, count);
  return status;
}
