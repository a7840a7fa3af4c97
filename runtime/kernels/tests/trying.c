#include "trying.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/engine.h"
#include "../src/hash.h"
#include "../src/plan.h"
#include "random_plan.h"
#include "running.h"

enum {
  SOME = 7,                 /* frames before a snapshot */
  COUNT = 18,               /* frames: more than a block of the engine */
  MOST_RUN_BYTES = 1 << 19, /* of models and streams that are run; clearing larger ones takes long */
  MODEL_TIMES = 64,         /* bounds of docs/plan.md */
  MODEL_BYTES = 1 << 20,
  STREAM_BYTES = 96 << 20,
};

static void require(int holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "an accepted plan: %s\n", what);
  abort();
}

void repair_plan(void *plan, size_t bytes) {
  uint8_t *p = plan;
  const uint32_t version = PLAN_VERSION;
  const uint64_t size = bytes;
  if (bytes < PLAN_HEADER_BYTES) return;
  memcpy(p, "TIDEGATE", 8);
  memcpy(p + 8, &version, sizeof version);
  memcpy(p + 48, &size, sizeof size);
  tide_hash(p + 48, bytes - 48, p + 16);
}

/* Pushes some frames, so that there is a state and rows are held back. The answers are not used. */
static void go_on(tide_stream *stream, const tide_model *model, const float *frames) {
  const uint32_t count = tide_output_count(model);
  float **outputs = aligned_memory(count * sizeof *outputs);
  for (uint32_t i = 0; i < count; i++) {
    outputs[i] = aligned_memory(tide_rows(stream, i, SOME) * tide_output_width(model, i) * sizeof **outputs);
  }
  tide_push(stream, frames, SOME, outputs);
  for (uint32_t i = 0; i < count; i++) free(outputs[i]);
  free(outputs);
}

/* A snapshot at an odd address gives the same bytes again; with one byte altered it is refused. */
static void go_round(tide_stream *stream, const tide_model *model, const float *frames) {
  const size_t most = tide_snapshot_bytes(model);
  uint8_t *saved = (uint8_t *)aligned_memory(most + 1) + 1, *again = aligned_memory(most);
  tide_fault fault;
  go_on(stream, model, frames);
  const size_t bytes = tide_snapshot(stream, saved);
  tide_reset(stream);
  require(bytes <= most, "its snapshot is too large");
  require(tide_restore(stream, saved, bytes, &fault) == TIDE_OK, "its snapshot is refused");
  require(tide_snapshot(stream, again) == bytes && memcmp(saved, again, bytes) == 0, "a restored stream is another");
  saved[bytes / 2] ^= 1;
  require(tide_restore(stream, saved, bytes, &fault) == TIDE_E_SNAPSHOT, "an altered snapshot is restored");
  free(again);
  free(saved - 1);
}

static float *frames_for(const tide_model *model, uint64_t seed) {
  const uint32_t width = tide_input_width(model);
  float *frames = random_frames(&seed, COUNT, width);
  for (uint32_t i = 0; i < width; i++) {
    const uint32_t ids = tide_feature_ids(model, i);
    for (uint32_t k = i; ids && k < COUNT * width; k += width) frames[k] = (float)random_below(&seed, ids);
  }
  return frames;
}

/* The answers; none if the frames were refused, or if model or stream are too large to run: then `much` is set. */
static answer run_on(const void *plan, size_t bytes, const tide_variant *variant, int *much) {
  static const size_t CUTS[] = {1, 1};
  const size_t model_bytes = tide_model_bytes(plan, variant);
  require(model_bytes <= bytes * MODEL_TIMES + MODEL_BYTES, "its model is too large");
  if (model_bytes > MOST_RUN_BYTES) return *much = 1, (answer){0};
  void *memory = aligned_memory(model_bytes);
  const tide_model *model = tide_model_init(memory, plan, variant);
  const size_t stream_bytes = tide_stream_bytes(model);
  const size_t held = 2 * sizeof(float) * tide_held_most(model); /* twice, because a refused push is undone */
  require(stream_bytes <= bytes * MODEL_TIMES + STREAM_BYTES + held, "its stream is too large");
  answer a = {0};
  if (stream_bytes > MOST_RUN_BYTES) {
    *much = 1;
  } else {
    float *frames = frames_for(model, bytes);
    void *room = aligned_memory(stream_bytes);
    go_round(tide_stream_init(room, model), model, frames);
    a = run_model(model, frames, COUNT, CUTS, sizeof CUTS / sizeof *CUTS);
    free(room);
    free(frames);
  }
  free(memory);
  return a;
}

static const tide_variant *plain_c(void) {
  size_t i = 0;
  while (tide_variant_at(i + 1)) i++;
  return tide_variant_at(i);
}

int try_plan(const void *plan, size_t bytes, tide_fault *fault) {
  fault->field = NULL;
  if (tide_plan_check(plan, bytes, fault) != TIDE_OK) {
    require(fault->field != NULL, "refused, but no field is named");
    return 0;
  }
  int much = 0; /* too much for at least one of them: variants differ in size */
  answer best = run_on(plan, bytes, tide_variant_best(), &much), plain = run_on(plan, bytes, plain_c(), &much);
  require(much || !best.values == !plain.values, "refused on one variant alone");
  require(much || !best.values || same_bits(&best, &plain, "the best variant"), "other bits on another variant");
  free(best.values);
  free(plain.values);
  return 1;
}
