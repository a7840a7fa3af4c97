/* Models and streams: a plan's operations made ready, and what a sequence in progress carries. */
#include <string.h>

#include "bytes.h"
#include "engine.h"

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

const model_op *tide_output_op(const tide_model *model, uint32_t output) {
  return &model->ops[plan_read_output(&model->header, output) - 1];
}

uint32_t tide_output_width(const tide_model *model, uint32_t output) { return tide_output_op(model, output)->width; }

int tide_output_timed(const tide_model *model, uint32_t output) { return tide_output_op(model, output)->timed; }

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
  uint32_t *counts = tide_take(arena, (ops + 1) * sizeof *counts);
  uint8_t *closed = tide_take(arena, ops + 1);
  size_t *totals = tide_take(arena, (ops + 1) * sizeof *totals);
  if (room) *room = (tide_room){values, blocks, counts, closed, totals, {model->variant, codes, scales, rows}};
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

/* What is held back lies behind the rest. It may be much, so it is not touched before it is used. */
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

void tide_reset(tide_stream *stream) {
  memset(stream->carried, 0, stream->carried_bytes);
  stream->frames = stream->refused = 0;
  stream->finished = 0;
  tide_undo_late(stream, 0);
  tide_derive(stream);
}

tide_stream *tide_stream_init(void *memory, const tide_model *model) {
  tide_arena arena = {0};
  lay_alone(&arena, model);
  memset(memory, 0, arena.used); /* the padding of codes is read */
  arena = (tide_arena){.base = memory};
  tide_stream *stream = lay_alone(&arena, model);
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
  tide_derive(stream);
}

uint64_t tide_frames(const tide_stream *stream) { return stream->frames; }

uint64_t tide_refused(const tide_stream *stream) { return stream->refused; }

int tide_finished(const tide_stream *stream) { return stream->finished; }
