/* Models: the operations of a plan made ready for a variant. */
#include <string.h>

#include "engine.h"

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static model_op prepare_op(tide_arena *arena, const plan_op *source, const tide_variant *variant) {
  model_op op = {.operator = tide_operator_of(source->kind), .function = source->function};
  memcpy(op.inputs, source->inputs, sizeof op.inputs);
  memcpy(op.counts, source->counts, sizeof op.counts);
  memcpy(op.numbers, source->numbers, sizeof op.numbers);
  memcpy(op.vectors, source->vectors, sizeof op.vectors);
  memcpy(op.initial, source->initial, sizeof op.initial);
  op.vectors_seen = op.operator->vectors_of ? op.operator->vectors_of(source) : op.operator->vectors;
  if (op.operator->prepare) op.operator->prepare(arena, source, variant, &op);
  return op;
}

static void account_op(tide_model *model, const model_op *op) {
  model->late |= op->late;
  model->looks_up |= op->operator->ids;
  if (op->operator->ids && op->counts[ID_ROWS] < model->ids) model->ids = op->counts[ID_ROWS];
  model->states += op->vectors_seen;
  model->fallible |= !op->operator->bounded;
  model->gathered = larger(model->gathered, op->gathered);
  for (uint32_t i = 0; i < PLAN_MATRICES; i++) {
    model->code_bytes = larger(model->code_bytes, op->matrices[i].code_bytes);
    model->row_floats = larger(model->row_floats, (size_t)op->matrices[i].vectors * model->variant->lanes);
  }
}

/* When an operation's rows come, and how many rows it must hold back for that. */
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

/* Lays a model out in the arena; returns NULL if the arena only counts. */
static tide_model *lay_model(tide_arena *arena, const void *plan, const tide_variant *variant) {
  plan_header header = plan_read_header(plan);
  if (!plan_order_is_native()) {
    uint8_t *native = tide_take(arena, (size_t)header.bytes);
    if (native) plan_to_native(plan, native), header.arrays = native;
  }
  tide_model *model = tide_take(arena, sizeof *model);
  model_op *ops = tide_take(arena, header.ops * sizeof *ops);
  const uint32_t ids = header.input_ids ? PLAN_MAX_IDS : 0;
  if (model) *model = (tide_model){.variant = variant, .header = header, .ops = ops, .ids = ids, .straight = 1};
  if (model) model->clocks = tide_clocks_of(header.block, header.lookahead, header.limit);
  for (uint32_t i = 0; i < header.ops; i++) {
    const plan_op source = plan_read_op(&header, i);
    const model_op op = prepare_op(arena, &source, variant);
    if (!model) continue;
    ops[i] = op;
    shape_op(model, &source, ops, i);
    account_op(model, &ops[i]);
    model->straight &= ops[i].timed && !ops[i].late && !ops[i].operator->of_layer;
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

uint32_t tide_feature_ids(const tide_model *model, uint32_t feature) {
  uint32_t ids = model->ids;
  for (uint32_t i = 0; i < model->header.ops; i++) {
    const model_op *op = &model->ops[i];
    if (!op->operator->ids || op->counts[ID_FEATURE] != feature) continue;
    if (!ids || op->counts[ID_ROWS] < ids) ids = op->counts[ID_ROWS];
  }
  return ids;
}

uint32_t tide_output_count(const tide_model *model) { return model->header.outputs; }

const model_op *tide_output_op(const tide_model *model, uint32_t output) {
  return &model->ops[plan_read_output(&model->header, output) - 1];
}

uint32_t tide_output_width(const tide_model *model, uint32_t output) { return tide_output_op(model, output)->width; }

int tide_output_timed(const tide_model *model, uint32_t output) { return tide_output_op(model, output)->timed; }

uint32_t tide_limit(const tide_model *model) { return model->clocks.limit; }

uint32_t tide_state_count(const tide_model *model) { return model->states; }

op_vector tide_state_vector(const tide_model *model, uint32_t state, uint32_t *owner) {
  uint32_t i = 0;
  for (; state >= model->ops[i].vectors_seen; i++) state -= model->ops[i].vectors_seen;
  *owner = i;
  return model->ops[i].operator->vector(&model->ops[i], model->variant, state);
}

uint32_t tide_state_width(const tide_model *model, uint32_t state) {
  uint32_t owner;
  return tide_state_vector(model, state, &owner).count;
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
