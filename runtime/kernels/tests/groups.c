/* Rows of a group are pushed, left, joined, reset and restored at random. Each row gives the bits of a stream of its
 * own, and a row that leaves leaves no byte in memory.
 *
 *     groups STEPS ROWS [VECTOR...]
 *
 * takes the plans VECTOR.tide, or random ones if none is named, and runs each on every variant of this processor.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/engine.h"
#include "group_world.h"
#include "random_plan.h"
#include "running.h"

enum { RANDOM_PLANS = 20, UNWRITTEN = 0xA5 };

static const float CANARY = 0.70718f;

static int fault(const world *w, const char *what, uint32_t row) {
  fprintf(stderr, "groups: %s, row %u, %s\n", what, row, tide_variant_name(tide_model_variant(w->model)));
  return 0;
}

/* A copy of the group's memory, also of the zones that the address sanitizer lets nobody read. */
__attribute__((no_sanitize("address"))) static uint8_t *memory_of(const world *w) {
  uint8_t *copy = aligned_memory(w->bytes);
  const volatile uint8_t *memory = w->memory; /* volatile: no memcpy, which the sanitizer watches everywhere */
  for (size_t i = 0; i < w->bytes; i++) copy[i] = memory[i];
  return copy;
}

/* ---- what may happen to a row ---- */

static int same_state(const world *w, uint32_t row) {
  const size_t size = tide_snapshot_bytes(w->model);
  uint8_t *other = aligned_memory(size);
  tide_snapshot(tide_group_stream(w->group, row), w->snapshot);
  tide_snapshot(w->alone[row], other);
  const int same = memcmp(w->snapshot, other, size) == 0;
  free(other);
  return same || fault(w, "another state than alone", row);
}

/* How often the canary is in the group's memory, at any byte. */
static size_t canaries(const world *w) {
  size_t found = 0;
  uint8_t *memory = memory_of(w);
  for (size_t i = 0; i + sizeof CANARY <= w->bytes; i++) found += memcmp(memory + i, &CANARY, sizeof CANARY) == 0;
  free(memory);
  return found;
}

/* Fills a row's state with canaries: they are in the memory, and after the row has left they are not. */
static int leave(world *w, uint32_t row) {
  tide_stream *stream = tide_group_stream(w->group, row);
  const size_t before = canaries(w); /* other streams may hold the same value */
  uint32_t floats = 0;
  for (uint32_t i = 0; i < tide_state_count(w->model); i++) {
    float *state = tide_state_at(stream, i);
    for (uint32_t k = 0; k < tide_state_width(w->model, i); k++, floats++) state[k] = CANARY;
  }
  if (canaries(w) < floats) return fault(w, "no canaries", row);
  tide_group_leave(w->group, row);
  tide_reset(w->alone[row]);
  if (canaries(w) > before) return fault(w, "a byte of a stream that left", row);
  return !tide_group_joined(w->group, row) || fault(w, "joined after it left", row);
}

static int restore_other(world *w, uint32_t row) {
  tide_fault why;
  const uint32_t from = random_below(&w->seed, w->rows);
  const tide_stream *other = random_below(&w->seed, 2) ? tide_group_stream(w->group, from) : w->alone[from];
  const size_t size = tide_snapshot(other, w->snapshot);
  return (tide_restore(tide_group_stream(w->group, row), w->snapshot, size, &why) == TIDE_OK &&
          tide_restore(w->alone[row], w->snapshot, size, &why) == TIDE_OK) ||
         fault(w, "snapshot refused", row);
}

/* ---- a push of some rows ---- */

/* Some rows are silent, some are ten times louder, some hold a value that is refused, or one so loud that a result may
 * leave 2^64. */
static void fill(world *w, float *frames, size_t count) {
  const size_t width = tide_input_width(w->model), values = count * width;
  const uint32_t sort = random_below(&w->seed, 9);
  float *noise = random_frames(&w->seed, count, width);
  for (size_t i = 0; i < values; i++) {
    const uint32_t ids = tide_feature_ids(w->model, (uint32_t)(i % width));
    frames[i] = ids ? (float)random_below(&w->seed, ids) : sort == 0 ? 0.0f : sort == 1 ? 10.0f * noise[i] : noise[i];
  }
  if (sort == 2 && values) frames[random_below(&w->seed, (uint32_t)values)] = NAN;
  if (sort == 3 && values && !tide_input_ids(w->model)) frames[random_below(&w->seed, (uint32_t)values)] = 1.8e19f;
  free(noise);
}

/* Lays the outputs of `count` frames for `rows` rows out one after another. */
static void aim(const world *w, float *at, size_t rows, size_t count) {
  for (uint32_t i = 0; i < tide_output_count(w->model); i++) {
    w->outputs[i] = at;
    at += rows * (tide_output_timed(w->model, i) ? count : 1) * tide_output_width(w->model, i);
  }
}

/* The answers of the row named at `place` are those of its stream on its own, or NaN. */
static int same_answers(const world *w, size_t place, size_t rows, size_t count, int refused) {
  const float *at = w->answers, *wanted = w->expected;
  for (uint32_t i = 0; i < tide_output_count(w->model); i++) {
    const size_t each = (tide_output_timed(w->model, i) ? count : count > 0) * (size_t)tide_output_width(w->model, i);
    const float *mine = at + place * each;
    if (!refused && memcmp(mine, wanted, each * sizeof *mine) != 0) return 0;
    for (size_t k = 0; refused && k < each; k++) {
      if (!isnan(mine[k])) return 0;
    }
    at += rows * each, wanted += each;
  }
  return 1;
}

static int check_row(const world *w, uint32_t row, size_t place, size_t rows, size_t count, tide_status status) {
  const float *frames = w->frames + place * count * tide_input_width(w->model);
  if (!tide_group_joined(w->group, row)) return status == TIDE_E_ROW || fault(w, "pushed without joining", row);
  aim(w, w->expected, 1, count);
  const tide_status wanted = tide_push(w->alone[row], frames, count, w->outputs);
  if (status != wanted) return fault(w, "another status than alone", row);
  return same_answers(w, place, rows, count, status != TIDE_OK) || fault(w, "other bits than alone", row);
}

static int push_some(world *w) {
  uint32_t rows[MOST_ROWS];
  tide_status statuses[MOST_ROWS], first = TIDE_OK;
  const uint32_t sort = random_below(&w->seed, 12);
  const size_t count = sort < 8 ? sort > 0 : random_below(&w->seed, MOST_FRAMES + 1);
  const uint32_t taking = random_below(&w->seed, 4) ? random_below(&w->seed, w->rows < 20 ? w->rows + 1 : 20)
                                                    : random_below(&w->seed, w->rows + 1);
  const uint32_t start = random_below(&w->seed, w->rows);
  for (uint32_t k = 0; k < taking; k++) {
    rows[k] = (start + k) % w->rows;
    fill(w, w->frames + k * count * tide_input_width(w->model), count);
  }
  aim(w, w->answers, taking, count);
  memset(w->answers, UNWRITTEN, taking * w->floats * sizeof(float));
  const tide_status seen = tide_group_push(w->group, rows, taking, w->frames, count, w->outputs, statuses);
  for (uint32_t k = 0; k < taking; k++) {
    if (!check_row(w, rows[k], k, taking, count, statuses[k])) return 0;
    if (first == TIDE_OK) first = statuses[k];
  }
  for (size_t i = 0; count == 0 && i < taking * w->floats * sizeof(float); i++) {
    if (((const uint8_t *)w->answers)[i] != UNWRITTEN) return fault(w, "no frames, but an answer", 0);
  }
  return seen == first || fault(w, "another status of all rows than the first that is refused", 0);
}

/* ---- many steps ---- */

static int step(world *w) {
  const uint32_t row = random_below(&w->seed, w->rows), sort = random_below(&w->seed, 60);
  if (sort == 0) return same_state(w, row) && leave(w, row);
  if (sort == 1) return tide_group_join(w->group, row), 1;
  if (sort == 2) return tide_reset(tide_group_stream(w->group, row)), tide_reset(w->alone[row]), 1;
  if (sort == 3) return restore_other(w, row);
  return push_some(w);
}

/* A row that does not exist or is named twice is refused; the other row is pushed. */
static int refuses_rows(const world *w) {
  const uint32_t rows[] = {0, w->rows, 0};
  tide_status statuses[3];
  memset(w->frames, 0, 3 * tide_input_width(w->model) * sizeof(float));
  aim(w, w->answers, 3, 1);
  tide_group_push(w->group, rows, w->rows > 2 ? 3 : 1, w->frames, 1, w->outputs, statuses);
  return w->rows <= 2 || (statuses[0] == TIDE_OK && statuses[1] == TIDE_E_ROW && statuses[2] == TIDE_E_ROW);
}

/* When all rows have left, the memory is as it was in the beginning. */
static int leaves_nothing(const world *w, const uint8_t *empty) {
  for (uint32_t i = 0; i < w->rows; i++) tide_group_leave(w->group, i);
  uint8_t *memory = memory_of(w);
  const int same = memcmp(memory, empty, w->bytes) == 0;
  free(memory);
  return same || fault(w, "memory of streams that left", 0);
}

static int run_world(const tide_model *model, uint32_t rows, uint64_t steps, uint64_t seed) {
  world w = new_world(model, rows, seed);
  for (uint32_t i = 0; i < rows; i++) tide_group_leave(w.group, i);
  uint8_t *empty = memory_of(&w);
  for (uint32_t i = 0; i < rows; i++) tide_group_join(w.group, i);
  int good = refuses_rows(&w);
  if (good) tide_reset(tide_group_stream(w.group, 0));
  for (uint64_t i = 0; good && i < steps; i++) good = step(&w);
  for (uint32_t i = 0; good && i < rows; i++) good = same_state(&w, i);
  good = good && leaves_nothing(&w, empty);
  free(empty);
  free_world(&w);
  return good;
}

static int try_plan(const void *plan, size_t bytes, uint32_t rows, uint64_t steps, uint64_t seed) {
  tide_fault why;
  if (tide_plan_check(plan, bytes, &why) != TIDE_OK) return fprintf(stderr, "groups: refused: %s\n", why.field), 0;
  int good = 1;
  for (size_t i = 0; good && tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (!tide_variant_supported(variant)) continue;
    void *memory = aligned_memory(tide_model_bytes(plan, variant));
    const tide_model *model = tide_model_init(memory, plan, variant);
    good = more_rows_take_no_less(model);
    if (good && tide_group_bytes(model, rows)) good = run_world(model, rows, steps, seed + i); /* 0: it looks ahead */
    free(memory);
  }
  return good;
}

static int try_number(uint64_t seed, uint32_t rows, uint64_t steps) {
  size_t bytes;
  const uint64_t number = seed;
  void *plan = random_plan(&seed, &bytes);
  const int good = try_plan(plan, bytes, rows, steps, seed);
  if (!good) fprintf(stderr, "groups: random plan %" PRIu64 "\n", number);
  free(plan);
  return good;
}

static int try_vector(const char *stem, uint32_t rows, uint64_t steps) {
  file_bytes plan = read_file(stem, ".tide");
  const int good = try_plan(plan.data, plan.count, rows, steps, 1);
  if (!good) fprintf(stderr, "groups: %s\n", stem);
  free(plan.data);
  return good;
}

int main(int count, char **arguments) {
  const uint64_t steps = count > 1 ? strtoull(arguments[1], NULL, 10) : 100;
  const uint32_t rows = count > 2 ? (uint32_t)atoi(arguments[2]) : 20;
  if (rows < 1 || rows > MOST_ROWS) return fprintf(stderr, "groups: wanted 1 to %d rows\n", MOST_ROWS), 2;
  const int plans = count > 3 ? count - 3 : RANDOM_PLANS;
  for (int i = 0; i < plans; i++) {
    if (!(count > 3 ? try_vector(arguments[3 + i], rows, steps) : try_number((uint64_t)i, rows, steps))) return 1;
  }
  printf("%d plans, %" PRIu64 " steps of %u rows on each variant: as alone\n", plans, steps, rows);
  return 0;
}
