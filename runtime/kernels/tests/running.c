#include "running.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/bytes.h"

void *aligned_memory(size_t bytes) {
  void *memory = NULL; /* not aligned_alloc, which may round the size up and so hide an access after the end */
  if (posix_memalign(&memory, TIDE_ALIGNMENT, bytes ? bytes : 1) != 0) abort();
  return memset(memory, 0xA5, bytes);
}

file_bytes read_file(const char *stem, const char *ending) {
  char path[4096];
  snprintf(path, sizeof path, "%s%s", stem, ending);
  FILE *file = fopen(path, "rb");
  if (!file) return fprintf(stderr, "no file %s\n", path), exit(1), (file_bytes){0};
  fseek(file, 0, SEEK_END);
  file_bytes b = {.count = (size_t)ftell(file)};
  rewind(file);
  b.data = aligned_memory(b.count);
  if (fread(b.data, 1, b.count, file) != b.count) exit(1);
  fclose(file);
  return b;
}

file_bytes read_floats(const char *stem, const char *ending) {
  const file_bytes b = read_file(stem, ending);
  float *values = b.data;
  for (size_t i = 0; i < b.count / sizeof *values; i++) values[i] = float_at((const uint8_t *)&values[i]);
  return b;
}

/* Rows of an output for a stream of `count` frames. */
static size_t rows_of(const tide_model *model, uint32_t output, size_t count) {
  return tide_output_timed(model, output) ? count : 1;
}

static answer room_for(const tide_model *model, size_t count) {
  answer a = {0};
  for (uint32_t i = 0; i < tide_output_count(model); i++)
    a.count += rows_of(model, i, count) * tide_output_width(model, i);
  for (uint32_t i = 0; i < tide_state_count(model); i++) a.count += tide_state_width(model, i);
  a.values = aligned_memory(a.count * sizeof *a.values);
  return a;
}

/* Finds where each output starts; returns the place of the first state. */
static float *aim(const tide_model *model, const answer *a, size_t count, float **outputs) {
  float *at = a->values;
  for (uint32_t i = 0; i < tide_output_count(model); i++) {
    outputs[i] = at;
    at += rows_of(model, i, count) * tide_output_width(model, i);
  }
  return at;
}

/* Moves past the rows that were written. */
static void go_on(const tide_model *model, const size_t *rows, float **outputs) {
  for (uint32_t i = 0; i < tide_output_count(model); i++) {
    if (tide_output_timed(model, i)) outputs[i] += rows[i] * tide_output_width(model, i);
  }
}

/* Whether the end of the stream says that it gives as many rows as are missing. */
static int rests_are_right(const tide_stream *stream, const tide_model *model, const answer *a, size_t count,
                           float *const *outputs) {
  const float *end = a->values;
  for (uint32_t i = 0; i < tide_output_count(model); i++) {
    const size_t width = tide_output_width(model, i);
    end += rows_of(model, i, count) * width;
    if (tide_output_timed(model, i) && outputs[i] + tide_rest(stream, i) * width != end) return 0;
  }
  return 1;
}

static tide_status push_all(tide_stream *stream, const tide_model *model, const answer *a, const float *frames,
                            size_t count, const size_t *cuts, size_t cut_count) {
  float **outputs = aligned_memory(tide_output_count(model) * sizeof *outputs);
  size_t *rows = aligned_memory(tide_output_count(model) * sizeof *rows);
  float *states = aim(model, a, count, outputs);
  tide_status status = TIDE_OK;
  for (size_t i = 0, done = 0; i <= cut_count && status == TIDE_OK; i++) {
    const size_t next = i < cut_count ? cuts[i] : count;
    for (uint32_t k = 0; k < tide_output_count(model); k++) rows[k] = tide_rows(stream, k, next - done);
    status = tide_push(stream, frames + done * tide_input_width(model), next - done, outputs);
    go_on(model, rows, outputs);
    done = next;
  }
  if (status == TIDE_OK && !rests_are_right(stream, model, a, count, outputs)) status = TIDE_E_LIMIT;
  if (status == TIDE_OK) status = tide_finish(stream, outputs);
  for (uint32_t i = 0; i < tide_state_count(model); states += tide_state_width(model, i++)) {
    tide_state_read(stream, i, states);
  }
  free(outputs);
  free(rows);
  return status;
}

answer run_model(const tide_model *model, const float *frames, size_t count, const size_t *cuts, size_t cut_count) {
  void *memory = aligned_memory(tide_stream_bytes(model));
  tide_stream *stream = tide_stream_init(memory, model);
  answer a = room_for(model, count);
  if (push_all(stream, model, &a, frames, count, cuts, cut_count) != TIDE_OK) {
    free(a.values);
    a = (answer){0};
  }
  free(memory);
  return a;
}

answer run_plan(const void *plan, const tide_variant *variant, const float *frames, size_t count, const size_t *cuts,
                size_t cut_count) {
  void *memory = aligned_memory(tide_model_bytes(plan, variant));
  answer a = run_model(tide_model_init(memory, plan, variant), frames, count, cuts, cut_count);
  free(memory);
  return a;
}

int same_bits(const answer *seen, const answer *wanted, const char *variant) {
  if (!seen->values || !wanted->values || seen->count != wanted->count) {
    return fprintf(stderr, "%s: %zu values, wanted %zu\n", variant, seen->count, wanted->count), 0;
  }
  for (size_t i = 0; i < wanted->count; i++) {
    if (memcmp(&seen->values[i], &wanted->values[i], sizeof(float)) == 0) continue;
    return fprintf(stderr, "%s: value %zu is %a, wanted %a\n", variant, i, (double)seen->values[i],
                   (double)wanted->values[i]),
           0;
  }
  return 1;
}
