/* Which plans the check refuses if one word of a good plan is another, and by which field: a table of every operator
 * and field with how often it refused and its first plan, and a digest of all that the check said.
 *
 *     refusals VECTOR...
 *
 * reads VECTOR.tide. Each word becomes the values of EDGES, some near its own, and those near what a refusal wanted,
 * and the hash is right again. So each row is a condition that refuses alone; tests/kernels/refusals.txt has the table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/engine.h"
#include "../src/hash.h"
#include "../src/operators.h"
#include "../src/plan.h"
#include "../src/plan_fields.h"
#include "running.h"

enum { MOST_ROWS = 2000, MOST_TRIES = 64 };

static const uint32_t EDGES[] = {0, 1, 2, 64, 1 << 20, 0x7fc00000, 0x80000000, 0x80808080, 0xffffffff};

typedef struct row {
  const char *operator, *field, *plan; /* the first plan that it refused */
  size_t at;
  uint32_t value;
  uint64_t seen, wanted, count;
} row;

typedef struct table {
  row rows[MOST_ROWS];
  size_t count;
  uint64_t accepted, digest;
} table;

typedef struct tries {
  uint32_t values[MOST_TRIES];
  size_t count;
} tries;

static void add(tries *t, uint64_t value) {
  if (value > UINT32_MAX || t->count == MOST_TRIES) return;
  for (size_t i = 0; i < t->count; i++) {
    if (t->values[i] == value) return;
  }
  t->values[t->count++] = (uint32_t)value;
}

static void add_near(tries *t, uint64_t value) { add(t, value), add(t, value - 1), add(t, value + 1); }

static void mix(uint64_t *digest, uint64_t value) {
  for (int i = 0; i < 8; i++) *digest = (*digest ^ (value >> 8 * i & 255)) * 0x100000001b3u; /* FNV-1a */
}

static int by_name(const void *a, const void *b) {
  const row *x = a, *y = b;
  const int order = strcmp(x->operator, y->operator);
  return order ? order : strcmp(x->field, y->field);
}

static row *row_of(table *t, const char *operator, const tide_fault *fault) {
  const row wanted = {.operator = operator, .field = fault->field};
  for (size_t i = 0; i < t->count; i++) {
    if (by_name(&t->rows[i], &wanted) == 0) return &t->rows[i];
  }
  if (t->count == MOST_ROWS) abort();
  t->rows[t->count] = wanted;
  return &t->rows[t->count++];
}

static const char *operator_of(const void *plan, uint32_t op) {
  if (op == TIDE_NO_OP) return "plan";
  const plan_header header = plan_read_header(plan);
  const tide_operator *operator = tide_operator_of(plan_read_op(&header, op).kind);
  return operator ? operator->name : "operation";
}

/* Notes what the check says of a copy of the plan, of which one word is another. */
static void note(table *t, const char *name, const void *copy, size_t bytes, size_t at, uint32_t value, tries *next) {
  tide_fault fault = {0};
  if (tide_plan_check(copy, bytes, &fault) == TIDE_OK) {
    t->accepted++;
    return;
  }
  row *r = row_of(t, operator_of(copy, fault.op), &fault);
  if (!r->count++) r->plan = name, r->at = at, r->value = value, r->seen = fault.seen, r->wanted = fault.wanted;
  mix(&t->digest, at), mix(&t->digest, value), mix(&t->digest, fault.op);
  mix(&t->digest, fault.seen), mix(&t->digest, fault.wanted);
  add_near(next, fault.wanted);
}

static void try_word(table *t, const char *name, const file_bytes *plan, uint8_t *copy, size_t at) {
  const uint32_t own = u32_at((const uint8_t *)plan->data + at);
  tries all = {.count = 0};
  for (size_t i = 0; i < sizeof EDGES / sizeof *EDGES; i++) add(&all, EDGES[i]);
  add_near(&all, own), add(&all, own + 64), add(&all, own ^ 0x80000000u);
  for (size_t i = 0; i < all.count; i++) {
    if (all.values[i] == own) continue;
    put_u32(copy + at, all.values[i]);
    if (at < AT_HASH || at >= AT_SIZE) tide_hash(copy + AT_SIZE, plan->count - AT_SIZE, copy + AT_HASH);
    note(t, name, copy, plan->count, at, all.values[i], &all);
    memcpy(copy, plan->data, AT_SIZE);
    put_u32(copy + at, own);
  }
}

/* A plan at an odd place, or cut inside its header: the only refusals that no word gives. */
static void try_place(table *t, const char *name, const file_bytes *plan) {
  tries none = {.count = 0};
  uint8_t *room = aligned_memory(plan->count + 4);
  memcpy(room + 4, plan->data, plan->count);
  note(t, name, room + 4, plan->count, 4, 0, &none);
  memcpy(room, plan->data, plan->count);
  note(t, name, room, AT_SHAPES, AT_SHAPES, 0, &none);
  free(room);
}

static void try_plan(table *t, const char *stem) {
  const file_bytes plan = read_file(stem, ".tide");
  const char *slash = strrchr(stem, '/'), *name = slash ? slash + 1 : stem;
  uint8_t *copy = memcpy(aligned_memory(plan.count), plan.data, plan.count);
  try_place(t, name, &plan);
  for (size_t at = 0; at + 4 <= plan.count; at += 4) try_word(t, name, &plan, copy, at);
  free(copy);
  free(plan.data);
}

int main(int count, char **arguments) {
  static table all;
  for (int i = 1; i < count; i++) try_plan(&all, arguments[i]);
  qsort(all.rows, all.count, sizeof *all.rows, by_name);
  for (size_t i = 0; i < all.count; i++) {
    const row *r = &all.rows[i];
    printf("%s | %s | %" PRIu64 " | %s+%zu=%" PRIu32 ": %" PRIu64 ", wanted %" PRIu64 "\n", r->operator, r->field,
           r->count, r->plan, r->at, r->value, r->seen, r->wanted);
  }
  printf("%zu conditions refuse alone; %" PRIu64 " plans accepted; digest %016" PRIx64 "\n", all.count, all.accepted,
         all.digest);
  return 0;
}
