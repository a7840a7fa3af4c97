/* Streams frames through a model: `stream MODEL.tide < frames.csv` prints the answers, one line per frame.
 *
 * A frame is a line of numbers with commas between them. Answers are printed in the same form. */
#include <stdio.h>
#include <stdlib.h>
#include <tidegate.h>

static int complain(const char *what, const char *why) { return fprintf(stderr, "stream: %s: %s\n", what, why), 1; }

static void *aligned(size_t bytes) {
  return aligned_alloc(TIDE_ALIGNMENT, (bytes / TIDE_ALIGNMENT + 1) * TIDE_ALIGNMENT);
}

static void *read_plan(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return NULL;
  *bytes = (size_t)ftell(file);
  rewind(file);
  void *plan = aligned(*bytes);
  if (fread(plan, 1, *bytes, file) != *bytes) plan = NULL;
  return fclose(file), plan;
}

static int read_frame(float *frame, uint32_t width) {
  for (uint32_t i = 0; i < width; i++) {
    if (scanf(i ? ",%f" : "%f", &frame[i]) != 1) return 0;
  }
  return 1;
}

int main(int count, char **arguments) {
  if (count != 2) return complain("usage", "stream MODEL.tide < frames.csv");
  size_t bytes;
  tide_fault fault;
  const void *plan = read_plan(arguments[1], &bytes);
  if (!plan) return complain(arguments[1], "cannot be read");
  if (tide_plan_check(plan, bytes, &fault) != TIDE_OK) return complain("the plan is refused for its", fault.field);

  const tide_variant *variant = tide_variant_best();
  const tide_model *model = tide_model_init(aligned(tide_model_bytes(plan, variant)), plan, variant);
  tide_stream *stream = tide_stream_init(aligned(tide_stream_bytes(model)), model);
  const uint32_t features = tide_input_width(model), width = tide_output_width(model, 0);
  float *frame = calloc(features, sizeof *frame), **outputs = calloc(tide_output_count(model), sizeof *outputs);
  for (uint32_t i = 0; i < tide_output_count(model); i++)
    outputs[i] = calloc(tide_output_width(model, i), sizeof(float));

  while (read_frame(frame, features)) {
    if (tide_push(stream, frame, 1, outputs) != TIDE_OK) return complain("a frame", "is refused");
    for (uint32_t i = 0; i < width; i++) printf(i ? ",%.9g" : "%.9g", outputs[0][i]);
    putchar('\n');
  }
  return feof(stdin) ? 0 : complain("standard input", "holds a line that is no frame");
}
