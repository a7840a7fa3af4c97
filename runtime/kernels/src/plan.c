#include "plan.h"

#include <string.h>

#include "bytes.h"
#include "fixed.h"
#include "hash.h"
#include "late.h"

/* Where the fields of the header stand. */
enum {
  AT_VERSION = 8,
  AT_FLAGS = 12,
  AT_HASH = 16,
  AT_SIZE = 48, /* the hash is that of all bytes from here on */
  AT_OPERATIONS = 56,
  AT_OUTPUTS = 60,
  AT_INPUT_WIDTH = 64,
  AT_INPUT_KIND = 68,
  AT_OPERATION_TABLE = 72,
  AT_OUTPUT_TABLE = 80,
  AT_TEXT = 88,
  AT_TEXT_SIZE = 96,
  AT_BLOCK = 104,
  AT_LOOKAHEAD = 108,
  AT_LIMIT = 112,
};

/* Where the fields of an operation's record stand. */
enum {
  AT_KIND = 0,
  AT_FUNCTION = 4,
  AT_INPUTS = 8,
  AT_COUNTS = 16,
  AT_NUMBERS = 32,
  AT_MATRICES = 48,
  MATRIX_BYTES = 48,
  AT_VECTORS = 192,
};

/* ---- reading a checked plan ---- */

plan_header plan_read_header(const void *plan) {
  const uint8_t *p = plan;
  return (plan_header){
      .ops = u32_at(p + AT_OPERATIONS),
      .outputs = u32_at(p + AT_OUTPUTS),
      .input_width = u32_at(p + AT_INPUT_WIDTH),
      .input_ids = u32_at(p + AT_INPUT_KIND),
      .bytes = u64_at(p + AT_SIZE),
      .block = u32_at(p + AT_BLOCK),
      .lookahead = u32_at(p + AT_LOOKAHEAD),
      .limit = u32_at(p + AT_LIMIT),
      .hash = p + AT_HASH,
      .op_records = p + u64_at(p + AT_OPERATION_TABLE),
      .output_records = p + u64_at(p + AT_OUTPUT_TABLE),
      .arrays = p,
  };
}

static const void *place(const plan_header *header, uint64_t offset) {
  return offset < header->bytes ? header->arrays + offset : NULL;
}

static plan_matrix read_matrix(const plan_header *header, const uint8_t *record) {
  return (plan_matrix){
      .codes = place(header, u64_at(record)),
      .scales = place(header, u64_at(record + 8)),
      .rows = u32_at(record + 16),
      .columns = u32_at(record + 20),
      .reading = (plan_reading)u32_at(record + 24),
      .bits = u32_at(record + 28),
      .weight_bits = u32_at(record + 32),
      .group = u32_at(record + 36),
      .exponent = (int32_t)u32_at(record + 40),
      .range = u32_at(record + 24) == READ_CONSTANT ? float_at(record + 44) : 1.0f,
  };
}

int32_t plan_code(const plan_matrix *m, size_t row, uint32_t column) {
  const size_t at = row * m->columns + column;
  if (m->weight_bits == 16) return ((const int16_t *)m->codes)[at];
  if (m->weight_bits == 8) return ((const int8_t *)m->codes)[at];
  const uint8_t pair = ((const uint8_t *)m->codes)[row * ((m->columns + 1) / 2) + column / 2];
  const int32_t half = column % 2 ? pair >> 4 : pair & 15;
  return half < 8 ? half : half - 16;
}

plan_op plan_read_op(const plan_header *header, uint32_t op) {
  const uint8_t *record = header->op_records + (size_t)op * PLAN_OP_BYTES;
  plan_op out = {.kind = u32_at(record + AT_KIND), .function = u32_at(record + AT_FUNCTION)};
  for (uint32_t i = 0; i < PLAN_INPUTS; i++) out.inputs[i] = u32_at(record + AT_INPUTS + 4 * i);
  for (uint32_t i = 0; i < PLAN_NUMBERS; i++) {
    out.counts[i] = u32_at(record + AT_COUNTS + 4 * i);
    out.numbers[i] = float_at(record + AT_NUMBERS + 4 * i);
  }
  for (uint32_t i = 0; i < PLAN_MATRICES; i++) {
    out.matrices[i] = read_matrix(header, record + AT_MATRICES + MATRIX_BYTES * i);
  }
  for (uint32_t i = 0; i < PLAN_VECTORS; i++) {
    out.vectors[i] = place(header, u64_at(record + AT_VECTORS + 8 * i));
  }
  return out;
}

uint32_t plan_read_output(const plan_header *header, uint32_t output) {
  return u32_at(header->output_records + (size_t)output * 4);
}

/* ---- what an operation's check may ask ---- */

int plan_refuse(const plan_check *c, const char *field, uint64_t seen, uint64_t wanted) {
  *c->fault = (tide_fault){field, c->index, seen, wanted};
  return 0;
}

int plan_equal(const plan_check *c, const char *field, uint64_t seen, uint64_t wanted) {
  return seen == wanted || plan_refuse(c, field, seen, wanted);
}

int plan_within(const plan_check *c, const char *field, uint64_t seen, uint64_t least, uint64_t most) {
  return (seen >= least && seen <= most) || plan_refuse(c, field, seen, seen < least ? least : most);
}

int plan_timed(const plan_check *c) { return plan_equal(c, "input has a time axis", (uint64_t)c->in[0].timed, 1); }

int plan_same_times(const plan_check *c) {
  return plan_equal(c, "second input has a time axis", (uint64_t)c->in[1].timed, (uint64_t)c->in[0].timed) &&
         plan_equal(c, "second input's clock", c->in[1].clock, c->in[0].clock);
}

int plan_held_ok(const plan_check *c, uint64_t rows, uint32_t width) {
  return plan_within(c, "held values", rows * width, 0, PLAN_MAX_HELD);
}

/* An array must start on a cache line, behind the header, and end within the plan. None serves twice, so all together
 * are no longer than the plan. */
static int array(const plan_check *c, const char *field, uint64_t offset, uint64_t bytes) {
  if (offset % TIDE_ALIGNMENT) return plan_refuse(c, field, offset, offset / TIDE_ALIGNMENT * TIDE_ALIGNMENT);
  if (offset < PLAN_HEADER_BYTES) return plan_refuse(c, field, offset, PLAN_HEADER_BYTES);
  if (offset > c->bytes || bytes > c->bytes - offset) return plan_refuse(c, field, offset, c->bytes);
  c->totals->array_bytes += bytes;
  return plan_within(c, "size of all arrays", c->totals->array_bytes, 0, c->bytes);
}

/* The bits of value `index` of an array of a plan. */
static uint32_t bits_at(const void *array, uint64_t index) {
  return u32_at((const uint8_t *)array + index * sizeof(float));
}

/* A checked array goes where the plan is wanted in this machine's byte order. */
static void to_native(const plan_check *c, const void *array, uint64_t count, size_t bytes) {
  if (!c->native) return;
  const uint8_t *from = array;
  uint8_t *to = c->native + (from - c->plan);
  for (uint64_t i = 0; i < count; i++, from += bytes, to += bytes) {
    for (size_t k = 0; k < bytes; k++) to[k] = from[bytes - 1 - k];
  }
}

/* Bits of 2^power; those of positive floats are in the order of the floats, and NaN is beyond them all. */
static uint32_t power_of_two(int power) { return (uint32_t)(power + 127) << 23; }

/* A magnitude within [2^-power, 2^power], or 0 where that is allowed; so not NaN, not subnormal. */
static int magnitude(const plan_check *c, const char *field, uint32_t value, int zero, int least, int most) {
  const uint32_t m = value & 0x7fffffffu;
  if ((zero && m == 0) || (m >= power_of_two(least) && m <= power_of_two(most))) return 1;
  return plan_refuse(c, field, value, m > power_of_two(most) ? power_of_two(most) : power_of_two(least));
}

int plan_number_ok(const plan_check *c, uint32_t index, const char *field) {
  return magnitude(c, field, u32_at(c->record + AT_NUMBERS + 4 * index), 1, -60, 60);
}

/* Where a vector stands, 0 where its values do not fit. */
static const void *vector(const plan_check *c, uint32_t vector, const char *field, uint64_t count) {
  const uint64_t offset = u64_at(c->record + AT_VECTORS + 8 * vector);
  return array(c, field, offset, count * sizeof(float)) ? c->op.vectors[vector] : NULL;
}

static int floats_within(const plan_check *c, const void *values, const char *field, uint64_t count, int zero,
                         int power) {
  if (!values) return 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!magnitude(c, field, bits_at(values, i), zero, -power, power)) return 0;
  }
  to_native(c, values, count, sizeof(float));
  return 1;
}

int plan_vector_ok(const plan_check *c, uint32_t index, const char *field, uint64_t count, int zero) {
  return floats_within(c, vector(c, index, field, count), field, count, zero, 60);
}

int plan_scales_ok(const plan_check *c, uint32_t index, const char *field, uint64_t count) {
  return floats_within(c, vector(c, index, field, count), field, count, 0, 40);
}

/* What is below zero is told as a fault's 64 bits say it. */
static int integer_within(const plan_check *c, const char *field, int32_t value, int32_t least, int32_t most) {
  if (value >= least && value <= most) return 1;
  return plan_refuse(c, field, (uint64_t)value, (uint64_t)(value < least ? least : most));
}

int plan_integers_ok(const plan_check *c, uint32_t index, const char *field, uint64_t count, int32_t least,
                     int32_t most) {
  const void *values = vector(c, index, field, count);
  if (!values) return 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!integer_within(c, field, (int32_t)bits_at(values, i), least, most)) return 0;
  }
  to_native(c, values, count, sizeof(int32_t));
  return 1;
}

static int exponent_within(const plan_check *c, const char *field, int32_t exponent) {
  return integer_within(c, field, exponent, LEAST_EXPONENT, MOST_EXPONENT);
}

int plan_exponent_ok(const plan_check *c, uint32_t index, const char *field) {
  return exponent_within(c, field, (int32_t)c->op.counts[index]);
}

typedef struct matrix_fields {
  const char *codes, *scales, *rows, *columns, *reading, *bits, *weight_bits, *group, *exponent, *range;
} matrix_fields;

static const matrix_fields MATRIX_FIELDS[PLAN_MATRICES] = {
    {"w.codes", "w.scales", "w.rows", "w.columns", "w.reading", "w.bits", "w.weight_bits", "w.group", "w.exponent",
     "w.range"},
    {"r.codes", "r.scales", "r.rows", "r.columns", "r.reading", "r.bits", "r.weight_bits", "r.group", "r.exponent",
     "r.range"},
    {"p.codes", "p.scales", "p.rows", "p.columns", "p.reading", "p.bits", "p.weight_bits", "p.group", "p.exponent",
     "p.range"},
};

static int scales_ok(const plan_check *c, const char *field, uint64_t offset, const plan_matrix *m) {
  const uint64_t count = (uint64_t)m->rows * plan_groups(m);
  const int least = plan_groups(m) > 1 ? -24 : -40;
  if (!array(c, field, offset, count * sizeof(float))) return 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint32_t scale = bits_at(m->scales, i);
    if (scale > 0x80000000u && scale <= 0xff800000u) return plan_refuse(c, field, scale, 0);
    if (!magnitude(c, field, scale, 0, least, 40)) return 0;
  }
  to_native(c, m->scales, count, sizeof(float));
  return 1;
}

/* The int32 sum of what shares a scale must not overflow; those of 16-bit weights have 64 bits. */
static int activation_bits_ok(const plan_check *c, const char *field, const plan_matrix *m) {
  if (!plan_within(c, field, m->bits, 2, 16)) return 0;
  const uint64_t terms = m->group && m->group < m->columns ? m->group : m->columns;
  const uint64_t q = plan_largest_code(m->bits), most = m->weight_bits == 4 ? 7 : 127;
  return m->weight_bits > 8 || terms * most * q <= INT32_MAX || plan_refuse(c, field, m->bits, m->bits - 1);
}

static int32_t stored_code(const plan_matrix *m, size_t row, uint32_t column) {
  if (m->weight_bits != 16) return plan_code(m, row, column);
  return (int16_t)u16_at((const uint8_t *)m->codes + 2 * (row * m->columns + column));
}

static int codes_ok(const plan_check *c, const char *field, const plan_matrix *m) {
  const int32_t least = -(1 << (m->weight_bits - 1));
  for (size_t row = 0; row < m->rows; row++) {
    for (uint32_t k = 0; k < m->columns; k++) {
      if (stored_code(m, row, k) == least) return plan_refuse(c, field, (uint64_t)-least, (uint64_t)-least - 1);
    }
  }
  if (m->weight_bits == 16) to_native(c, m->codes, (uint64_t)m->rows * m->columns, sizeof(int16_t));
  return 1;
}

static int floats_ok(const plan_check *c, const char *field, const plan_matrix *m) {
  return floats_within(c, m->codes, field, (uint64_t)m->rows * m->columns, 1, 40);
}

static int weight_bits_ok(const plan_check *c, const char *field, uint32_t bits) {
  return bits == 4 || bits == 8 || bits == 16 || bits == WEIGHT_FLOAT || plan_refuse(c, field, bits, 8);
}

static int group_ok(const plan_check *c, const char *field, const plan_matrix *m) {
  if (m->weight_bits == WEIGHT_FLOAT) return plan_equal(c, field, m->group, 0);
  return m->group == 0 || m->group == 8 || m->group == 32 || plan_refuse(c, field, m->group, 32);
}

/* Of what computes in floats. */
static int float_reading_ok(const plan_check *c, const char *field, plan_reading reading) {
  return reading == READ_CONSTANT || plan_within(c, field, reading, READ_FRAME, READ_HIDDEN);
}

static int range_ok(const plan_check *c, const char *field, const uint8_t *record, const plan_matrix *m) {
  if (m->reading != READ_CONSTANT) return 1;
  const uint32_t range = u32_at(record + 44);
  return range >> 31 ? plan_refuse(c, field, range, power_of_two(0)) : magnitude(c, field, range, 0, -40, 40);
}

int plan_matrix_ok(const plan_check *c, uint32_t matrix, uint32_t rows, uint32_t columns) {
  const uint8_t *record = c->record + AT_MATRICES + MATRIX_BYTES * matrix;
  const plan_matrix *m = &c->op.matrices[matrix];
  const matrix_fields *f = &MATRIX_FIELDS[matrix];
  if (!plan_equal(c, f->rows, m->rows, rows) || !plan_equal(c, f->columns, m->columns, columns) ||
      !float_reading_ok(c, f->reading, m->reading) || !range_ok(c, f->range, record, m) ||
      !weight_bits_ok(c, f->weight_bits, m->weight_bits) || !group_ok(c, f->group, m) ||
      !activation_bits_ok(c, f->bits, m)) {
    return 0;
  }
  const uint64_t row_bytes = ((uint64_t)columns * m->weight_bits + 7) / 8;
  if (!array(c, f->codes, u64_at(record), rows * row_bytes)) return 0;
  if (m->weight_bits == WEIGHT_FLOAT) return floats_ok(c, f->codes, m);
  return scales_ok(c, f->scales, u64_at(record + 8), m) && codes_ok(c, f->codes, m);
}

int plan_reading_ok(const plan_check *c, uint32_t matrix, plan_reading reading) {
  const plan_reading own = c->op.matrices[matrix].reading;
  return own == READ_CONSTANT || plan_equal(c, MATRIX_FIELDS[matrix].reading, own, reading);
}

/* A row's sum stays within 32 bits, though all codes be the largest. */
static int fixed_reading_ok(const plan_check *c, const matrix_fields *f, const plan_matrix *m) {
  if (!plan_equal(c, f->reading, m->reading, READ_FIXED) || !plan_within(c, f->bits, m->bits, 2, 16)) return 0;
  const uint64_t most = (uint64_t)m->columns * 127 * ((1u << (m->bits - 1)) - 1);
  return (most <= INT32_MAX || plan_refuse(c, f->bits, m->bits, m->bits - 1)) &&
         exponent_within(c, f->exponent, m->exponent);
}

int plan_fixed_matrix_ok(const plan_check *c, uint32_t matrix, uint32_t rows, uint32_t columns) {
  const uint8_t *record = c->record + AT_MATRICES + MATRIX_BYTES * matrix;
  const plan_matrix *m = &c->op.matrices[matrix];
  const matrix_fields *f = &MATRIX_FIELDS[matrix];
  return plan_equal(c, f->rows, m->rows, rows) && plan_equal(c, f->columns, m->columns, columns) &&
         plan_equal(c, f->weight_bits, m->weight_bits, 8) && plan_equal(c, f->group, m->group, 0) &&
         fixed_reading_ok(c, f, m) && array(c, f->codes, u64_at(record), (uint64_t)rows * columns) &&
         scales_ok(c, f->scales, u64_at(record + 8), m) && codes_ok(c, f->codes, m);
}

/* ---- checking a plan from a stranger ---- */

static int hash_ok(const plan_check *c) {
  uint8_t hash[HASH_BYTES];
  tide_hash(c->plan + AT_SIZE, c->bytes - AT_SIZE, hash);
  for (int i = 0; i < HASH_BYTES; i += 8) {
    if (!plan_equal(c, "hash", u64_at(c->plan + AT_HASH + i), u64_at(hash + i))) return 0;
  }
  return 1;
}

/* Blocks of fixed frames with a lookahead, or a limit of the stream that is one block, or none of these. */
static int grid_ok(const plan_check *c) {
  const uint32_t block = u32_at(c->plan + AT_BLOCK), most = PLAN_MAX_FRAMES;
  return plan_within(c, "block", block, 0, most) &&
         plan_within(c, "lookahead", u32_at(c->plan + AT_LOOKAHEAD), 0, block ? most : 0) &&
         plan_within(c, "limit", u32_at(c->plan + AT_LIMIT), 0, block ? 0 : most);
}

static int check_header(const plan_check *c) {
  const uint8_t *p = c->plan;
  /* Arrays are read where they lie, so they start on cache lines. */
  if (!plan_equal(c, "address", (uintptr_t)c->plan % TIDE_ALIGNMENT, 0)) return 0;
  if (c->bytes < PLAN_HEADER_BYTES) return plan_refuse(c, "size", c->bytes, PLAN_HEADER_BYTES);
  if (memcmp(p, "TIDEGATE", 8) != 0) return plan_refuse(c, "magic", u64_at(p), 0x4554414745444954u);
  const uint32_t ops = u32_at(p + AT_OPERATIONS), outputs = u32_at(p + AT_OUTPUTS);
  return plan_equal(c, "version", u32_at(p + AT_VERSION), PLAN_VERSION) &&
         plan_equal(c, "flags", u32_at(p + AT_FLAGS), 0) && plan_equal(c, "size", c->bytes, u64_at(p + AT_SIZE)) &&
         hash_ok(c) && plan_within(c, "operations", ops, 1, PLAN_MAX_OPS) &&
         plan_within(c, "outputs", outputs, 1, PLAN_MAX_OPS) &&
         plan_within(c, "input kind", u32_at(p + AT_INPUT_KIND), 0, 1) &&
         plan_within(c, "input width", u32_at(p + AT_INPUT_WIDTH), 1, u32_at(p + AT_INPUT_KIND) ? 1 : PLAN_MAX_WIDTH) &&
         array(c, "operation table", u64_at(p + AT_OPERATION_TABLE), (uint64_t)ops * PLAN_OP_BYTES) &&
         array(c, "output table", u64_at(p + AT_OUTPUT_TABLE), (uint64_t)outputs * 4) &&
         array(c, "text", u64_at(p + AT_TEXT), u64_at(p + AT_TEXT_SIZE)) && grid_ok(c);
}

/* When its rows come; the rest of its record is checked. */
static int clock_op(plan_check *c, const tide_operator *operator) {
  c->out.clock = operator->clock ? operator->clock(&c->op, c->in, c->clocks) : c->in[0].clock;
  if (!plan_within(c, "clocks", c->clocks->count, 1, MOST_CLOCKS)) return 0;
  if (!operator->holds) return 1;
  const plan_shape *held = &c->in[operator->holds - 1];
  const uint32_t width = held->width > c->out.width ? held->width : c->out.width;
  return plan_held_ok(c, tide_late_room(c->clocks, operator->holds, held->clock, c->out.clock), width);
}

static int check_op(plan_check *c, const plan_shape *values) {
  const tide_operator *operator = tide_operator_of(c->op.kind);
  if (!operator) return plan_refuse(c, "kind", c->op.kind, tide_operator_count());
  for (uint32_t i = 0; i < operator->inputs; i++) {
    if (!plan_within(c, "input", c->op.inputs[i], 0, c->index)) return 0;
    c->in[i] = values[c->op.inputs[i]];
    if (!plan_equal(c, "input is ids", (uint64_t)c->in[i].ids, (uint64_t)operator->ids)) return 0;
  }
  c->out = operator->shape(&c->op, c->in);
  c->totals->widths += c->out.width;
  return plan_within(c, "width", c->out.width, 1, PLAN_MAX_WIDTH) &&
         plan_within(c, "width of all values", c->totals->widths, 0, PLAN_MAX_WIDTHS) && operator->check(c) &&
         clock_op(c, operator);
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
  return 1;
}

tide_status tide_plan_check(const void *plan, size_t bytes, tide_fault *fault) {
  plan_totals totals = {0};
  plan_check c = {.plan = plan, .bytes = bytes, .fault = fault, .totals = &totals, .index = TIDE_NO_OP};
  return check_plan(&c) ? TIDE_OK : TIDE_E_PLAN;
}

/* ---- byte order ---- */

int plan_order_is_native(void) {
  const uint32_t one = 1;
  uint8_t first;
  memcpy(&first, &one, 1);
  return first == 1;
}

/* The check reads every array once, and knows its type. */
void plan_to_native(const void *plan, uint8_t *native) {
  tide_fault fault;
  const uint64_t bytes = plan_read_header(plan).bytes;
  plan_totals totals = {0};
  plan_check c = {
      .plan = plan, .bytes = bytes, .native = native, .fault = &fault, .totals = &totals, .index = TIDE_NO_OP};
  memcpy(native, plan, (size_t)bytes);
  check_plan(&c);
}
