/* The copy of a plan for a processor of the other byte order: each value of an array is turned, and nothing else moves.
 *
 *     turned VECTOR...
 *
 * reads VECTOR.tide. A processor of this order makes the copy as well, and only runs none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/check.h"
#include "../src/operators.h"
#include "running.h"

/* Whether `count` values of some bytes each are those of the plan turned. */
static int turned(const uint8_t *plan, const uint8_t *copy, size_t count, size_t bytes) {
  for (size_t i = 0; i < count; i++, plan += bytes, copy += bytes) {
    for (size_t k = 0; k < bytes; k++) {
      if (copy[k] != plan[bytes - 1 - k]) return 0;
    }
  }
  return 1;
}

static int matrix_turned(const plan_matrix *m, const uint8_t *plan, const uint8_t *copy) {
  if (!m->rows) return 1; /* the operator has none here */
  const size_t codes = (size_t)((const uint8_t *)m->codes - plan), count = (size_t)m->rows * m->columns;
  const size_t bytes = m->weight_bits == WEIGHT_FLOAT ? 4 : m->weight_bits == 16 ? 2 : 1;
  const size_t stored = m->weight_bits == 4 ? m->rows * ((m->columns + 1) / 2) : count;
  if (!turned(plan + codes, copy + codes, stored, bytes)) return 0;
  if (m->weight_bits == WEIGHT_FLOAT) return 1;
  const size_t scales = (size_t)((const uint8_t *)m->scales - plan);
  return turned(plan + scales, copy + scales, (size_t)m->rows * plan_groups(m), sizeof(float));
}

/* Vectors and initial states have values of four bytes, at least one. */
static int values_turned(const float *values, const uint8_t *plan, const uint8_t *copy) {
  if (!values || (const uint8_t *)values == plan) return 1;
  const size_t at = (size_t)((const uint8_t *)values - plan);
  return turned(plan + at, copy + at, 1, sizeof *values);
}

static int op_turned(const plan_op *op, const uint8_t *plan, const uint8_t *copy) {
  for (uint32_t i = 0; i < PLAN_MATRICES; i++) {
    if (!matrix_turned(&op->matrices[i], plan, copy)) return 0;
  }
  for (uint32_t i = 0; i < PLAN_VECTORS; i++) {
    if (!values_turned(op->vectors[i], plan, copy)) return 0;
  }
  return values_turned(op->initial[0], plan, copy) && values_turned(op->initial[1], plan, copy);
}

/* Each word is the plan's, or turned as one value, as two, or in bytes, which stay. */
static int nothing_else(const uint8_t *plan, const uint8_t *copy, size_t bytes, size_t *moved) {
  for (size_t at = 0; at + 4 <= bytes; at += 4) {
    const int same = memcmp(plan + at, copy + at, 4) == 0;
    if (!same && !turned(plan + at, copy + at, 1, 4) && !turned(plan + at, copy + at, 2, 2)) return 0;
    *moved += !same;
  }
  return 1;
}

static int try_plan(const char *stem, size_t *moved) {
  const file_bytes plan = read_file(stem, ".tide");
  uint8_t *copy = aligned_memory(plan.count);
  plan_to_native(plan.data, copy);
  const plan_header header = plan_read_header(plan.data);
  const size_t records = (size_t)(header.op_records - (const uint8_t *)plan.data);
  int good = nothing_else(plan.data, copy, plan.count, moved) && memcmp(plan.data, copy, PLAN_HEADER_BYTES) == 0 &&
             memcmp(header.op_records, copy + records, header.ops * PLAN_OP_BYTES) == 0;
  for (uint32_t i = 0; good && i < header.ops; i++) {
    const plan_op op = plan_read_op(&header, i);
    good = op_turned(&op, plan.data, copy);
  }
  free(copy);
  free(plan.data);
  return good || (fprintf(stderr, "turned: %s\n", stem), 0);
}

int main(int count, char **arguments) {
  size_t moved = 0;
  for (int i = 1; i < count; i++) {
    if (!try_plan(arguments[i], &moved)) return 1;
  }
  printf("%d plans turned, %zu words moved\n", count - 1, moved);
  return moved == 0;
}
