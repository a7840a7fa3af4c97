#include "plan.h"

#include <math.h>
#include <string.h>

static uint32_t u32_at(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64_at(const uint8_t *p) { return u32_at(p) | (uint64_t)u32_at(p + 4) << 32; }

/* ---- reading a checked plan ---- */

plan_header plan_read_header(const void *plan) {
  const uint8_t *p = plan;
  return (plan_header){
      .ops = u32_at(p + 24),
      .outputs = u32_at(p + 28),
      .input_width = u32_at(p + 32),
      .op_records = p + u64_at(p + 40),
      .output_records = p + u64_at(p + 48),
  };
}

static plan_matrix read_matrix(const uint8_t *plan, const uint8_t *record) {
  return (plan_matrix){
      .codes = (const int8_t *)plan + u64_at(record),
      .scales = (const float *)(const void *)(plan + u64_at(record + 8)),
      .rows = u32_at(record + 16),
      .columns = u32_at(record + 20),
      .reading = (plan_reading)u32_at(record + 24),
      .bits = u32_at(record + 28),
  };
}

plan_op plan_read_op(const void *plan, const plan_header *header, uint32_t op) {
  const uint8_t *record = header->op_records + (size_t)op * PLAN_OP_BYTES;
  return (plan_op){
      .kind = (plan_kind)u32_at(record),
      .input = u32_at(record + 4),
      .function = (plan_function)u32_at(record + 8),
      .w = read_matrix(plan, record + 16),
      .r = read_matrix(plan, record + 48),
      .vector = (const float *)(const void *)((const uint8_t *)plan + u64_at(record + 80)),
  };
}

uint32_t plan_read_output(const plan_header *header, uint32_t output) {
  return u32_at(header->output_records + (size_t)output * 4);
}

/* ---- checking a plan from a stranger ---- */

typedef struct shape {
  uint32_t width;
  int timed;
} shape;

typedef struct checker {
  const uint8_t *plan;
  uint64_t bytes;
  tide_fault *fault;
  uint32_t op;
} checker;

static int refuse(const checker *c, const char *field, uint64_t seen, uint64_t wanted) {
  *c->fault = (tide_fault){field, c->op, seen, wanted};
  return 0;
}

static int equal(const checker *c, const char *field, uint64_t seen, uint64_t wanted) {
  return seen == wanted || refuse(c, field, seen, wanted);
}

static int within(const checker *c, const char *field, uint64_t seen, uint64_t least, uint64_t most) {
  return (seen >= least && seen <= most) || refuse(c, field, seen, seen < least ? least : most);
}

/* An array must start on a cache line, behind the header, and end within the plan. */
static int array(const checker *c, const char *field, uint64_t offset, uint64_t bytes) {
  if (offset % TIDE_ALIGNMENT) return refuse(c, field, offset, offset / TIDE_ALIGNMENT * TIDE_ALIGNMENT);
  if (offset < PLAN_HEADER_BYTES) return refuse(c, field, offset, PLAN_HEADER_BYTES);
  if (offset > c->bytes || bytes > c->bytes - offset) return refuse(c, field, offset, c->bytes);
  return 1;
}

static uint64_t float_bits(const float *value) {
  uint32_t bits;
  memcpy(&bits, value, sizeof bits);
  return bits;
}

/* Every magnitude is 0 (where allowed) or lies within [least, most]; so none is NaN or subnormal. */
static int magnitudes(const checker *c, const char *field, uint64_t offset, uint64_t count, int zero, float least,
                      float most) {
  if (!array(c, field, offset, count * sizeof(float))) return 0;
  const float *values = (const float *)(const void *)(c->plan + offset);
  for (uint64_t i = 0; i < count; i++) {
    const float m = fabsf(values[i]);
    if (!((zero && m == 0.0f) || (m >= least && m <= most))) {
      return refuse(c, field, float_bits(&values[i]), float_bits(m > most ? &most : &least));
    }
  }
  return 1;
}

static int scales(const checker *c, const char *field, uint64_t offset, uint64_t rows) {
  if (!magnitudes(c, field, offset, rows, 0, 0x1p-40f, 0x1p40f)) return 0;
  const float *values = (const float *)(const void *)(c->plan + offset);
  for (uint64_t i = 0; i < rows; i++) {
    if (values[i] < 0.0f) return refuse(c, field, float_bits(&values[i]), 0);
  }
  return 1;
}

static int vector(const checker *c, const char *field, uint64_t offset, uint64_t count, int zero) {
  return magnitudes(c, field, offset, count, zero, 0x1p-60f, 0x1p60f);
}

/* The int32 sum of `columns` products must not overflow. */
static int activation_bits(const checker *c, const char *field, uint32_t bits, uint32_t columns) {
  if (!within(c, field, bits, 2, 16)) return 0;
  const uint64_t q = (1u << (bits - 1)) - 1;
  return columns * 127 * q <= INT32_MAX || refuse(c, field, bits, bits - 1);
}

typedef struct matrix_fields {
  const char *codes, *scales, *rows, *columns, *reading, *bits;
} matrix_fields;

static const matrix_fields W = {"w.codes", "w.scales", "w.rows", "w.columns", "w.reading", "w.bits"};
static const matrix_fields R = {"r.codes", "r.scales", "r.rows", "r.columns", "r.reading", "r.bits"};

static int matrix(const checker *c, const matrix_fields *f, const uint8_t *record, uint32_t rows, uint32_t columns) {
  const uint64_t codes = u64_at(record), count = (uint64_t)rows * columns;
  if (!equal(c, f->rows, u32_at(record + 16), rows) || !equal(c, f->columns, u32_at(record + 20), columns) ||
      !within(c, f->reading, u32_at(record + 24), READ_FRAME, READ_HIDDEN) ||
      !activation_bits(c, f->bits, u32_at(record + 28), columns) || !array(c, f->codes, codes, count) ||
      !scales(c, f->scales, u64_at(record + 8), rows)) {
    return 0;
  }
  for (uint64_t i = 0; i < count; i++) {
    if (c->plan[codes + i] == 0x80) return refuse(c, f->codes, 0x80, 0x81); /* -128 */
  }
  return 1;
}

static int check_lstm(const checker *c, const uint8_t *record, shape in, shape *out) {
  const uint32_t hidden = u32_at(record + 48 + 20); /* columns of r */
  *out = (shape){hidden, 1};
  return equal(c, "input has a time axis", (uint64_t)in.timed, 1) &&
         within(c, "r.columns", hidden, 1, PLAN_MAX_WIDTH) && matrix(c, &W, record + 16, 4 * hidden, in.width) &&
         matrix(c, &R, record + 48, 4 * hidden, hidden) &&
         equal(c, "r.reading", u32_at(record + 48 + 24), READ_HIDDEN) &&
         vector(c, "bias", u64_at(record + 80), 4 * (uint64_t)hidden, 1);
}

static int check_linear(const checker *c, const uint8_t *record, shape in, shape *out) {
  const uint32_t rows = u32_at(record + 16 + 16);
  *out = (shape){rows, in.timed};
  return within(c, "w.rows", rows, 1, PLAN_MAX_WIDTH) && matrix(c, &W, record + 16, rows, in.width) &&
         vector(c, "bias", u64_at(record + 80), rows, 1);
}

static int check_elementwise(const checker *c, const uint8_t *record, shape in, shape *out) {
  const uint32_t function = u32_at(record + 8);
  *out = in;
  return within(c, "function", function, FN_ADD, FN_DIV) &&
         vector(c, "constant", u64_at(record + 80), in.width, function != FN_DIV);
}

static int check_op(const checker *c, const uint8_t *record, const shape *values, shape *out) {
  const uint32_t kind = u32_at(record), input = u32_at(record + 4);
  if (!within(c, "input", input, 0, c->op)) return 0;
  const shape in = values[input];
  switch (kind) {
    case OP_LSTM:
      return check_lstm(c, record, in, out);
    case OP_LINEAR:
      return check_linear(c, record, in, out);
    case OP_ELEMENTWISE:
      return check_elementwise(c, record, in, out);
    case OP_LAST:
      *out = (shape){in.width, 0};
      return equal(c, "input has a time axis", (uint64_t)in.timed, 1);
    default:
      return refuse(c, "kind", kind, OP_LAST);
  }
}

/* CRC-32 of zlib and IEEE 802.3; its table is made anew each time, for a load is rare and a global is not needed. */
static uint32_t crc32_of(const uint8_t *p, uint64_t bytes) {
  uint32_t table[256], crc = ~0u;
  for (uint32_t i = 0; i < 256; i++) {
    table[i] = i;
    for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (0xedb88320u & (0u - (table[i] & 1u)));
  }
  for (uint64_t i = 0; i < bytes; i++) crc = crc >> 8 ^ table[(crc ^ p[i]) & 0xff];
  return ~crc;
}

static int check_header(const checker *c) {
  if (c->bytes < PLAN_HEADER_BYTES) return refuse(c, "size", c->bytes, PLAN_HEADER_BYTES);
  if (memcmp(c->plan, "TIDEGATE", 8) != 0) return refuse(c, "magic", u64_at(c->plan), 0x4554414745444954u);
  return equal(c, "version", u32_at(c->plan + 8), PLAN_VERSION) && equal(c, "size", c->bytes, u64_at(c->plan + 16)) &&
         equal(c, "checksum", u32_at(c->plan + 12), crc32_of(c->plan + 16, c->bytes - 16)) &&
         within(c, "operations", u32_at(c->plan + 24), 1, PLAN_MAX_OPS) &&
         within(c, "outputs", u32_at(c->plan + 28), 1, PLAN_MAX_OPS) &&
         within(c, "input width", u32_at(c->plan + 32), 1, PLAN_MAX_WIDTH) &&
         array(c, "operation table", u64_at(c->plan + 40), (uint64_t)u32_at(c->plan + 24) * PLAN_OP_BYTES) &&
         array(c, "output table", u64_at(c->plan + 48), (uint64_t)u32_at(c->plan + 28) * 4) &&
         array(c, "text", u64_at(c->plan + 56), u64_at(c->plan + 64));
}

static int check_plan(checker *c) {
  if (!check_header(c)) return 0;
  const plan_header header = plan_read_header(c->plan);
  shape values[PLAN_MAX_OPS + 1];
  values[0] = (shape){header.input_width, 1};
  for (uint32_t op = 0; op < header.ops; op++) {
    c->op = op;
    if (!check_op(c, header.op_records + (size_t)op * PLAN_OP_BYTES, values, &values[op + 1])) return 0;
  }
  c->op = TIDE_NO_OP;
  for (uint32_t i = 0; i < header.outputs; i++) {
    if (!within(c, "output", plan_read_output(&header, i), 1, header.ops)) return 0;
  }
  return 1;
}

tide_status tide_plan_check(const void *plan, size_t bytes, tide_fault *fault) {
  checker c = {plan, bytes, fault, TIDE_NO_OP};
  return check_plan(&c) ? TIDE_OK : TIDE_E_PLAN;
}
