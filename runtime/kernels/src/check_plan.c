/* Checks a whole plan: its header, then operation after operation. */
#include <string.h>

#include "check.h"
#include "hash.h"
#include "late.h"
#include "plan_fields.h"

static int hash_ok(const plan_check *c) {
  uint8_t hash[HASH_BYTES];
  tide_hash(c->plan + AT_SIZE, c->bytes - AT_SIZE, hash);
  for (int i = 0; i < HASH_BYTES; i += 8) {
    if (!plan_equal(c, "hash", u64_at(c->plan + AT_HASH + i), u64_at(hash + i))) return 0;
  }
  return 1;
}

/* Either blocks of a fixed length with a lookahead, or a limit on a stream that is one block, or neither. */
static int grid_ok(const plan_check *c) {
  const uint32_t block = u32_at(c->plan + AT_BLOCK), most = PLAN_MAX_FRAMES;
  return plan_within(c, "block", block, 0, most) &&
         plan_within(c, "lookahead", u32_at(c->plan + AT_LOOKAHEAD), 0, block ? most : 0) &&
         plan_within(c, "limit", u32_at(c->plan + AT_LIMIT), 0, block ? 0 : most);
}

static int check_header(const plan_check *c) {
  const uint8_t *p = c->plan;
  /* Arrays are read in place, so they start on cache lines. */
  if (!plan_equal(c, "address", (uintptr_t)c->plan % TIDE_ALIGNMENT, 0)) return 0;
  if (c->bytes < PLAN_HEADER_BYTES) return plan_refuse(c, "size", c->bytes, PLAN_HEADER_BYTES);
  if (memcmp(p, "TIDEGATE", 8) != 0) return plan_refuse(c, "magic", u64_at(p), 0x4554414745444954u);
  const uint32_t ops = u32_at(p + AT_OPERATIONS), outputs = u32_at(p + AT_OUTPUTS);
  return plan_equal(c, "version", u32_at(p + AT_VERSION), PLAN_VERSION) &&
         plan_within(c, "flags", u32_at(p + AT_FLAGS), 0, PLAN_STARTS | PLAN_SHAPES) &&
         plan_equal(c, "size", c->bytes, u64_at(p + AT_SIZE)) && hash_ok(c) &&
         plan_within(c, "operations", ops, 1, PLAN_MAX_OPS) && plan_within(c, "outputs", outputs, 1, PLAN_MAX_OPS) &&
         plan_within(c, "input kind", u32_at(p + AT_INPUT_KIND), 0, 1) &&
         plan_within(c, "input width", u32_at(p + AT_INPUT_WIDTH), 1, u32_at(p + AT_INPUT_KIND) ? 1 : PLAN_MAX_WIDTH) &&
         plan_within(c, "shapes", u32_at(p + AT_SHAPES), 0, 1) &&
         plan_array_ok(c, "operation table", u64_at(p + AT_OPERATION_TABLE), (uint64_t)ops * PLAN_OP_BYTES) &&
         plan_array_ok(c, "output table", u64_at(p + AT_OUTPUT_TABLE), (uint64_t)outputs * 4) &&
         plan_array_ok(c, "text", u64_at(p + AT_TEXT), u64_at(p + AT_TEXT_SIZE)) && grid_ok(c);
}

/* When the operation's rows come; the rest of its record is checked already. */
static int clock_op(plan_check *c, const tide_operator *operator) {
  c->out.clock = operator->clock ? operator->clock(&c->op, c->in, c->clocks) : c->in[0].clock;
  if (!plan_within(c, "clocks", c->clocks->count, 1, MOST_CLOCKS)) return 0;
  if (!operator->holds) return 1;
  const plan_shape *held = &c->in[operator->holds - 1];
  const uint32_t width = held->width > c->out.width ? held->width : c->out.width;
  return plan_held_ok(c, tide_late_room(c->clocks, operator->holds, held->clock, c->out.clock), width);
}

/* The input is the answer of a layer with two state vectors, of as many units as the first count says. */
static int layer_ok(const plan_check *c) {
#ifdef TIDE_WITHOUT_last_cell
  return plan_refuse(c, "kind", c->op.kind, 0); /* there is no such operator */
#else
  if (!plan_within(c, "layer", c->op.inputs[0], 1, c->index)) return 0;
  const plan_header header = plan_read_header(c->plan);
  const plan_op layer = plan_read_op(&header, c->op.inputs[0] - 1);
  return plan_equal(c, "state vectors of the layer", tide_operator_of(layer.kind)->vectors, 2) &&
         plan_equal(c, "units of the layer", layer.matrices[0].rows, 4 * (uint64_t)c->op.counts[0]);
#endif
}

/* Ids are looked up in the frames that come in, where they are checked; nothing is computed with an input of ids. */
static int kind_ok(const plan_check *c, const tide_operator *operator, uint32_t input) {
  if (operator->unread) return 1;
  if (operator->ids) return plan_equal(c, "value of the ids", c->op.inputs[input], 0);
  return plan_equal(c, "input is ids", (uint64_t)c->in[input].ids, 0);
}

static int check_op(plan_check *c, const plan_shape *values) {
  const tide_operator *operator = tide_operator_of(c->op.kind);
  if (!operator) return plan_refuse(c, "kind", c->op.kind, tide_operator_count());
  for (uint32_t i = 0; i < operator->inputs; i++) {
    if (!plan_within(c, "input", c->op.inputs[i], 0, c->index)) return 0;
    c->in[i] = values[c->op.inputs[i]];
    if (!kind_ok(c, operator, i)) return 0;
  }
  c->out = operator->shape(&c->op, c->in);
  c->totals->widths += c->out.width;
  return plan_within(c, "width", c->out.width, 1, PLAN_MAX_WIDTH) &&
         plan_within(c, "width of all values", c->totals->widths, 0, PLAN_MAX_WIDTHS) && operator->check(c) &&
         (!operator->of_layer || layer_ok(c)) && clock_op(c, operator);
}

static int check_plan(plan_check *c) {
  if (!check_header(c)) return 0;
  const plan_header header = plan_read_header(c->plan);
  plan_shape values[PLAN_MAX_OPS + 1];
  tide_clocks clocks = tide_clocks_of(header.block, header.lookahead, header.limit);
  c->clocks = &clocks;
  values[0] = (plan_shape){header.input_width, 1, (int)header.input_ids, 0};
  for (uint32_t op = 0; op < header.ops; op++) {
    c->index = op;
    c->record = header.op_records + (size_t)op * PLAN_OP_BYTES;
    c->op = plan_read_op(&header, op);
    if (!check_op(c, values)) return 0;
    values[op + 1] = c->out;
  }
  c->index = TIDE_NO_OP;
  for (uint32_t i = 0; i < header.outputs; i++) {
    if (!plan_within(c, "output", plan_read_output(&header, i), 1, header.ops)) return 0;
  }
  /* The hash does not cover the flags, so that an engine that does not know them refuses the plan by them. */
  const uint32_t shapes = u32_at(c->plan + AT_SHAPES) ? PLAN_SHAPES : 0;
  return plan_equal(c, "flags", u32_at(c->plan + AT_FLAGS), shapes | (c->totals->starts ? PLAN_STARTS : 0));
}

tide_status tide_plan_check(const void *plan, size_t bytes, tide_fault *fault) {
  plan_totals totals = {0};
  plan_check c = {.plan = plan, .bytes = bytes, .fault = fault, .totals = &totals, .index = TIDE_NO_OP, .rows = 1};
  if (!tide_rounds_to_nearest()) return TIDE_E_ROUNDING; /* a model multiplies scales when it is made */
  return check_plan(&c) ? TIDE_OK : TIDE_E_PLAN;
}

/* Runs the check again, because it visits every array once and knows its type. */
void plan_to_native(const void *plan, uint8_t *native) {
  tide_fault fault;
  const uint64_t bytes = plan_read_header(plan).bytes;
  plan_totals totals = {0};
  plan_check c = {.plan = plan,
                  .bytes = bytes,
                  .native = native,
                  .fault = &fault,
                  .totals = &totals,
                  .index = TIDE_NO_OP,
                  .rows = 1};
  memcpy(native, plan, (size_t)bytes);
  check_plan(&c);
}
