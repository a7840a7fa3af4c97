/* Checking a plan from a stranger: what the check of an operation may ask. */
#ifndef TIDE_CHECK_H
#define TIDE_CHECK_H

#include "bytes.h"
#include "plan.h"

/* Totals of the operations checked so far. Their limits bound the memory and the time that a small plan can cost. */
typedef struct plan_totals {
  uint64_t array_bytes, widths, tails, starts, products;
} plan_totals;

/* The operation being checked. The functions below return 1, or write the fault and return 0. */
typedef struct plan_check {
  const uint8_t *plan, *record;
  uint8_t *native; /* where to write arrays in this machine's byte order, at their offsets; NULL: do not */
  uint64_t bytes;
  tide_fault *fault;
  plan_totals *totals;
  uint32_t index;
  uint32_t rows; /* rows of a frame, each of which has the states of the record */
  plan_op op;
  plan_shape in[PLAN_INPUTS], out;
  tide_clocks *clocks;
} plan_check;

int plan_refuse(const plan_check *c, const char *field, uint64_t seen, uint64_t wanted);
int plan_equal(const plan_check *c, const char *field, uint64_t seen, uint64_t wanted);
int plan_within(const plan_check *c, const char *field, uint64_t seen, uint64_t least, uint64_t most);
/* The input has a row for each frame. */
int plan_timed(const plan_check *c);
/* Both inputs have a row for each frame, or neither has, and their rows come at the same time. */
int plan_same_times(const plan_check *c);
/* `rows` rows of `width` values are few enough to hold back. */
int plan_held_ok(const plan_check *c, uint64_t rows, uint32_t width);
/* A matrix of these sizes: its codes, its scales, and few enough activation bits that no sum overflows. */
int plan_matrix_ok(const plan_check *c, uint32_t matrix, uint32_t rows, uint32_t columns);
/* A checked matrix has this reading, or READ_CONSTANT. */
int plan_reading_ok(const plan_check *c, uint32_t matrix, plan_reading reading);
/* A matrix of an integer operator: int8 codes, one scale per row, READ_FIXED. */
int plan_fixed_matrix_ok(const plan_check *c, uint32_t matrix, uint32_t rows, uint32_t columns);
/* A count that is an exponent of codes. */
int plan_exponent_ok(const plan_check *c, uint32_t index, const char *field);
/* `count` int32 within bounds. */
int plan_integers_ok(const plan_check *c, uint32_t vector, const char *field, uint64_t count, int32_t least,
                     int32_t most);
/* `count` floats, each of magnitude 2^-40 to 2^40. */
int plan_scales_ok(const plan_check *c, uint32_t vector, const char *field, uint64_t count);
/* `count` floats, each of magnitude 2^-60 to 2^60; with `zero` also 0. */
int plan_vector_ok(const plan_check *c, uint32_t vector, const char *field, uint64_t count, int zero);
/* A number of magnitude 2^-60 to 2^60, or 0. */
int plan_number_ok(const plan_check *c, uint32_t index, const char *field);

/* State vector `index`, of `each` values per row, starts from zeros or from floats, each 0 or of magnitude 2^-60 to
 * 2^64. */
int plan_initial_ok(const plan_check *c, uint32_t index, uint64_t each);

/* Writes a copy of a checked plan, its arrays in this machine's byte order. */
void plan_to_native(const void *plan, uint8_t *native);

/* ---- what checks of values, of matrices and of plans share ---- */

/* An array starts on a cache line, after the header, and ends within the plan. No bytes are used twice, so all arrays
 * together are no longer than the plan. */
int plan_array_ok(const plan_check *c, const char *field, uint64_t offset, uint64_t bytes);
/* Copies a checked array to c->native, if there is one, in this machine's byte order. */
void plan_array_to_native(const plan_check *c, const void *array, uint64_t count, size_t bytes);
/* `count` floats at `values`, each of magnitude 2^least to 2^most; with `zero` also 0. */
int plan_floats_ok(const plan_check *c, const void *values, const char *field, uint64_t count, int zero, int least,
                   int most);
/* An exponent of codes is within its limits. */
int plan_exponent_within(const plan_check *c, const char *field, int32_t exponent);

/* The bits of 32-bit value `index` of an array in a plan. */
static inline uint32_t plan_bits_at(const void *array, uint64_t index) {
  return u32_at((const uint8_t *)array + index * sizeof(float));
}

/* Bits of 2^power. Bits of positive floats have the order of the floats; those of NaN are larger than all of them. */
static inline uint32_t plan_power_of_two(int power) { return (uint32_t)(power + 127) << 23; }

/* A magnitude of 2^least to 2^most; with `zero` also 0. So it is neither NaN nor subnormal. */
static inline int plan_magnitude_ok(const plan_check *c, const char *field, uint32_t value, int zero, int least,
                                    int most) {
  const uint32_t m = value & 0x7fffffffu;
  if ((zero && m == 0) || (m >= plan_power_of_two(least) && m <= plan_power_of_two(most))) return 1;
  return plan_refuse(c, field, value, m > plan_power_of_two(most) ? plan_power_of_two(most) : plan_power_of_two(least));
}

#endif
