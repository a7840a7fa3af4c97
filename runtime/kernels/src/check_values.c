/* Checks numbers, vectors and arrays of an operation. */
#include "check.h"
#include "fixed.h"
#include "plan_fields.h"

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

int plan_array_ok(const plan_check *c, const char *field, uint64_t offset, uint64_t bytes) {
  if (offset % TIDE_ALIGNMENT) return plan_refuse(c, field, offset, offset / TIDE_ALIGNMENT * TIDE_ALIGNMENT);
  if (offset < PLAN_HEADER_BYTES) return plan_refuse(c, field, offset, PLAN_HEADER_BYTES);
  if (offset > c->bytes || bytes > c->bytes - offset) return plan_refuse(c, field, offset, c->bytes);
  c->totals->array_bytes += bytes;
  return plan_within(c, "size of all arrays", c->totals->array_bytes, 0, c->bytes);
}

void plan_array_to_native(const plan_check *c, const void *array, uint64_t count, size_t bytes) {
  if (!c->native) return;
  const uint8_t *from = array;
  uint8_t *to = c->native + (from - c->plan);
  for (uint64_t i = 0; i < count; i++, from += bytes, to += bytes) {
    for (size_t k = 0; k < bytes; k++) to[k] = from[bytes - 1 - k];
  }
}

int plan_number_ok(const plan_check *c, uint32_t index, const char *field) {
  return plan_magnitude_ok(c, field, u32_at(c->record + AT_NUMBERS + 4 * index), 1, -60, 60);
}

/* The address of a vector, NULL if it does not fit into the plan. */
static const void *vector(const plan_check *c, uint32_t vector, const char *field, uint64_t count) {
  const uint64_t offset = u64_at(c->record + AT_VECTORS + 8 * vector);
  return plan_array_ok(c, field, offset, count * sizeof(float)) ? c->op.vectors[vector] : NULL;
}

int plan_floats_ok(const plan_check *c, const void *values, const char *field, uint64_t count, int zero, int least,
                   int most) {
  if (!values) return 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!plan_magnitude_ok(c, field, plan_bits_at(values, i), zero, least, most)) return 0;
  }
  plan_array_to_native(c, values, count, sizeof(float));
  return 1;
}

int plan_vector_ok(const plan_check *c, uint32_t index, const char *field, uint64_t count, int zero) {
  return plan_floats_ok(c, vector(c, index, field, count), field, count, zero, -60, 60);
}

int plan_scales_ok(const plan_check *c, uint32_t index, const char *field, uint64_t count) {
  return plan_floats_ok(c, vector(c, index, field, count), field, count, 0, -40, 40);
}

int plan_initial_ok(const plan_check *c, uint32_t index, uint64_t each) {
#ifdef TIDE_WITHOUT_starts
  (void)c, (void)index, (void)each;
  return 1; /* a plan that has some is refused by its flags */
#else
  const uint64_t count = each * c->rows;
  const char *field = "initial state";
  const uint64_t offset = u64_at(c->record + AT_INITIAL + 8 * index);
  if (!offset) return 1;
  c->totals->starts++;
  return plan_array_ok(c, field, offset, count * sizeof(float)) &&
         plan_floats_ok(c, c->op.initial[index], field, count, 1, -60, 64);
#endif
}

/* A fault has 64 unsigned bits: a negative value is given in two's complement. */
static int integer_within(const plan_check *c, const char *field, int32_t value, int32_t least, int32_t most) {
  if (value >= least && value <= most) return 1;
  return plan_refuse(c, field, (uint64_t)value, (uint64_t)(value < least ? least : most));
}

int plan_integers_ok(const plan_check *c, uint32_t index, const char *field, uint64_t count, int32_t least,
                     int32_t most) {
  const void *values = vector(c, index, field, count);
  if (!values) return 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!integer_within(c, field, (int32_t)plan_bits_at(values, i), least, most)) return 0;
  }
  plan_array_to_native(c, values, count, sizeof(int32_t));
  return 1;
}

int plan_exponent_within(const plan_check *c, const char *field, int32_t exponent) {
  return integer_within(c, field, exponent, LEAST_EXPONENT, MOST_EXPONENT);
}

int plan_exponent_ok(const plan_check *c, uint32_t index, const char *field) {
  return plan_exponent_within(c, field, (int32_t)c->op.counts[index]);
}
