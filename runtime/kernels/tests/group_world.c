#include "group_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "running.h"

world new_world(const tide_model *model, uint32_t rows, uint64_t seed) {
  world w = {.seed = seed, .model = model, .rows = rows, .bytes = tide_group_bytes(model, rows)};
  w.memory = aligned_memory(w.bytes);
  w.group = tide_group_init(w.memory, model, rows);
  for (uint32_t i = 0; i < rows; i++) {
    w.alone[i] = tide_stream_init(aligned_memory(tide_stream_bytes(model)), model);
  }
  for (uint32_t i = 0; i < tide_output_count(model); i++) w.floats += MOST_FRAMES * (size_t)tide_output_width(model, i);
  w.frames = aligned_memory(rows * MOST_FRAMES * (size_t)tide_input_width(model) * sizeof(float));
  w.answers = aligned_memory(rows * w.floats * sizeof(float));
  w.expected = aligned_memory(w.floats * sizeof(float));
  w.outputs = aligned_memory(tide_output_count(model) * sizeof *w.outputs);
  w.snapshot = aligned_memory(tide_snapshot_bytes(model));
  return w;
}

void free_world(const world *w) {
  void *all[] = {w->memory, w->frames, w->answers, w->expected, w->outputs, w->snapshot};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  for (uint32_t i = 0; i < w->rows; i++) free(w->alone[i]);
}

int more_rows_take_no_less(const tide_model *model) {
  size_t before = 0;
  for (uint32_t rows = 1; rows; rows *= 2) {
    const size_t bytes = tide_group_bytes(model, rows);
    if (bytes < before) return fprintf(stderr, "groups: %" PRIu32 " rows take less than half of them\n", rows), 0;
    before = bytes;
  }
  return 1;
}
