/* Checks matrices of an operation. */
#include "check.h"
#include "plan_fields.h"

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
  if (!plan_array_ok(c, field, offset, count * sizeof(float))) return 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint32_t scale = plan_bits_at(m->scales, i);
    if (scale > 0x80000000u && scale <= 0xff800000u) return plan_refuse(c, field, scale, 0);
    if (!plan_magnitude_ok(c, field, scale, 0, least, 40)) return 0;
  }
  plan_array_to_native(c, m->scales, count, sizeof(float));
  return 1;
}

/* The int32 sum of the inputs that share a scale must not overflow. Sums of 16-bit weights have 64 bits. */
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
  if (m->weight_bits == 16) plan_array_to_native(c, m->codes, (uint64_t)m->rows * m->columns, sizeof(int16_t));
  return 1;
}

static int floats_ok(const plan_check *c, const char *field, const plan_matrix *m) {
  return plan_floats_ok(c, m->codes, field, (uint64_t)m->rows * m->columns, 1, -40, 40);
}

static int weight_bits_ok(const plan_check *c, const char *field, uint32_t bits) {
  return bits == 4 || bits == 8 || bits == 16 || bits == WEIGHT_FLOAT || plan_refuse(c, field, bits, 8);
}

static int group_ok(const plan_check *c, const char *field, const plan_matrix *m) {
  if (m->weight_bits == WEIGHT_FLOAT) return plan_equal(c, field, m->group, 0);
  return m->group == 0 || m->group == 8 || m->group == 32 || plan_refuse(c, field, m->group, 32);
}

/* The reading of a float operator. */
static int float_reading_ok(const plan_check *c, const char *field, plan_reading reading) {
  return reading == READ_CONSTANT || plan_within(c, field, reading, READ_FRAME, READ_HIDDEN);
}

static int range_ok(const plan_check *c, const char *field, const uint8_t *record, const plan_matrix *m) {
  if (m->reading != READ_CONSTANT) return 1;
  const uint32_t range = u32_at(record + 44);
  return range >> 31 ? plan_refuse(c, field, range, plan_power_of_two(0))
                     : plan_magnitude_ok(c, field, range, 0, -40, 40);
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
  if (!plan_array_ok(c, f->codes, u64_at(record), rows * row_bytes)) return 0;
  if (m->weight_bits == WEIGHT_FLOAT) return floats_ok(c, f->codes, m);
  return scales_ok(c, f->scales, u64_at(record + 8), m) && codes_ok(c, f->codes, m);
}

int plan_reading_ok(const plan_check *c, uint32_t matrix, plan_reading reading) {
  const plan_reading own = c->op.matrices[matrix].reading;
  return own == READ_CONSTANT || plan_equal(c, MATRIX_FIELDS[matrix].reading, own, reading);
}

/* A row's sum stays within 32 bits even if every code is the largest. */
static int fixed_reading_ok(const plan_check *c, const matrix_fields *f, const plan_matrix *m) {
  if (!plan_equal(c, f->reading, m->reading, READ_FIXED) || !plan_within(c, f->bits, m->bits, 2, 16)) return 0;
  const uint64_t most = (uint64_t)m->columns * 127 * ((1u << (m->bits - 1)) - 1);
  return (most <= INT32_MAX || plan_refuse(c, f->bits, m->bits, m->bits - 1)) &&
         plan_exponent_within(c, f->exponent, m->exponent);
}

int plan_fixed_matrix_ok(const plan_check *c, uint32_t matrix, uint32_t rows, uint32_t columns) {
  const uint8_t *record = c->record + AT_MATRICES + MATRIX_BYTES * matrix;
  const plan_matrix *m = &c->op.matrices[matrix];
  const matrix_fields *f = &MATRIX_FIELDS[matrix];
  return plan_equal(c, f->rows, m->rows, rows) && plan_equal(c, f->columns, m->columns, columns) &&
         plan_equal(c, f->weight_bits, m->weight_bits, 8) && plan_equal(c, f->group, m->group, 0) &&
         fixed_reading_ok(c, f, m) && plan_array_ok(c, f->codes, u64_at(record), (uint64_t)rows * columns) &&
         scales_ok(c, f->scales, u64_at(record + 8), m) && codes_ok(c, f->codes, m);
}
