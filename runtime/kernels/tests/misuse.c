/* What a caller may do wrong is refused by its status or its field, and leaves a stream as it was.
 *
 *     misuse VECTOR...
 *
 * reads VECTOR.tide and takes plain C: frames, states and snapshots that cannot be, more frames than the limit, another
 * mode of rounding, and counters at their end.
 */
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/bytes.h"
#include "../src/hash.h"
#include "random_plan.h"
#include "running.h"

enum { FRAMES = 3, AT_HASH = 16, AT_SIZE = 48, AT_FRAMES = 88, AT_REFUSED = 96, AT_VALUES = 112 };

typedef struct trial {
  const tide_model *model;
  tide_stream *stream;
  float *frames, **outputs;
  uint8_t *before, *after; /* snapshots, of `bytes` bytes */
  size_t bytes;
} trial;

static const char *said = "";

static int holds(int good, const char *what) {
  if (!good) said = what;
  return good;
}

/* A refusal changes nothing but the count of refused frames, by `refused`. */
static int unchanged(trial *t, uint64_t refused) {
  if (tide_snapshot(t->stream, t->after) != t->bytes) return 0;
  put_u64(t->after + AT_REFUSED, u64_at(t->after + AT_REFUSED) - refused);
  tide_hash(t->after + AT_SIZE, t->bytes - AT_SIZE, t->after + AT_HASH);
  const int same = memcmp(t->before, t->after, t->bytes) == 0;
  t->bytes = tide_snapshot(t->stream, t->before);
  return same;
}

/* ---- frames ---- */

static int refuse_value(trial *t, uint32_t feature, float value) {
  float *at = t->frames + (FRAMES - 1) * tide_input_width(t->model) + feature, own = *at;
  *at = value;
  const tide_status status = tide_push(t->stream, t->frames, FRAMES, t->outputs);
  *at = own;
  return status == TIDE_E_INPUT && unchanged(t, FRAMES);
}

static int refuse_values(trial *t) {
  static const float NONE[] = {NAN, INFINITY, -INFINITY};
  for (uint32_t i = 0; i < tide_input_width(t->model); i++) {
    const uint32_t ids = tide_feature_ids(t->model, i);
    const float wrong[] = {(float)ids, -1.0f, 0.5f};
    for (int k = 0; k < 3; k++) {
      if (!refuse_value(t, i, NONE[k]) || (ids && !refuse_value(t, i, wrong[k]))) return 0;
    }
  }
  return 1;
}

/* The frames themselves are not read, so there are none. */
static int refuse_too_many(trial *t) {
  const uint32_t limit = tide_limit(t->model);
  const size_t more = limit - tide_frames(t->stream) + 1;
  return !limit || (tide_push(t->stream, NULL, more, t->outputs) == TIDE_E_LIMIT && unchanged(t, more));
}

static int refuse_rounding(trial *t, const void *plan, size_t bytes) {
  tide_fault fault;
  fesetround(FE_UPWARD);
  const tide_status checked = tide_plan_check(plan, bytes, &fault);
  const tide_status pushed = tide_push(t->stream, t->frames, 1, t->outputs);
  const tide_status finished = tide_finish(t->stream, t->outputs);
  fesetround(FE_TONEAREST);
  return checked == TIDE_E_ROUNDING && pushed == TIDE_E_ROUNDING && finished == TIDE_E_ROUNDING && unchanged(t, 0);
}

/* ---- states ---- */

static int refuse_states(trial *t) {
  static const float NONE[] = {NAN, INFINITY, 0x1.000002p64f};
  for (uint32_t i = 0; i < tide_state_count(t->model); i++) {
    const uint32_t width = tide_state_width(t->model, i);
    float *state = aligned_memory(width * sizeof *state);
    tide_state_read(t->stream, i, state);
    int good = 1;
    for (int k = 0; good && k < 3; k++) {
      state[width - 1] = NONE[k];
      good = tide_state_write(t->stream, i, state) == TIDE_E_INPUT && unchanged(t, 0);
    }
    free(state);
    if (!good) return 0;
  }
  return 1;
}

/* ---- snapshots ---- */

static int refuse_snapshot(trial *t, size_t bytes, const char *field) {
  tide_fault fault = {0};
  const tide_status status = tide_restore(t->stream, t->after, bytes, &fault);
  return status == TIDE_E_SNAPSHOT && strcmp(fault.field, field) == 0 && fault.op == TIDE_NO_OP;
}

/* One word is another; from the size on the hash is right. */
static int refuse_word(trial *t, size_t at, uint32_t value, const char *field) {
  memcpy(t->after, t->before, t->bytes);
  put_u32(t->after + at, value);
  if (at >= AT_SIZE) tide_hash(t->after + AT_SIZE, t->bytes - AT_SIZE, t->after + AT_HASH);
  return refuse_snapshot(t, t->bytes, field);
}

static int refuse_snapshots(trial *t) {
  int good = refuse_word(t, 0, 0, "magic") && refuse_word(t, 8, 3, "version") && refuse_word(t, 12, 2, "backend") &&
             refuse_word(t, 56, 0, "model") && refuse_word(t, 84, 0, "model") && refuse_word(t, 104, 2, "finished") &&
             refuse_word(t, AT_SIZE, (uint32_t)t->bytes + 4, "size");
  for (size_t at = AT_HASH; good && at < AT_SIZE; at += 4) good = refuse_word(t, at, 0, "hash");
  if (good && tide_limit(t->model)) good = refuse_word(t, AT_FRAMES, tide_limit(t->model) + 1, "frames");
  for (size_t at = AT_VALUES; good && at < t->bytes; at += 4) good = refuse_word(t, at, 0x5f800001, "state");
  memcpy(t->after, t->before, t->bytes);
  for (size_t cut = 0; good && cut < AT_VALUES; cut++) good = refuse_snapshot(t, cut, "size");
  if (good && t->bytes > AT_VALUES) {
    put_u64(t->after + AT_SIZE, t->bytes - 4);
    tide_hash(t->after + AT_SIZE, t->bytes - 4 - AT_SIZE, t->after + AT_HASH);
    good = refuse_snapshot(t, t->bytes - 4, "size");
  }
  return good && unchanged(t, 0);
}

/* A counter that is at its end stays there. */
static int counters_end(trial *t) {
  tide_fault fault;
  memcpy(t->after, t->before, t->bytes);
  put_u64(t->after + AT_REFUSED, UINT64_MAX - 1);
  tide_hash(t->after + AT_SIZE, t->bytes - AT_SIZE, t->after + AT_HASH);
  if (tide_restore(t->stream, t->after, t->bytes, &fault) != TIDE_OK) return 0;
  const float own = t->frames[0];
  t->frames[0] = NAN;
  tide_push(t->stream, t->frames, 1, t->outputs);
  if (tide_refused(t->stream) != UINT64_MAX) return 0;
  tide_push(t->stream, t->frames, 1, t->outputs);
  t->frames[0] = own;
  return tide_refused(t->stream) == UINT64_MAX && tide_frames(t->stream) == FRAMES;
}

/* ---- over plans ---- */

static int misuse(trial *t, const void *plan, size_t bytes) {
  return holds(refuse_values(t), "a value") && holds(refuse_too_many(t), "the limit") &&
         holds(refuse_rounding(t, plan, bytes), "rounding") && holds(refuse_states(t), "a state") &&
         holds(refuse_snapshots(t), "a snapshot") && holds(counters_end(t), "a counter");
}

static int run_trial(const tide_model *model, const void *plan, size_t bytes) {
  uint64_t seed = 1;
  const uint32_t width = tide_input_width(model), outputs = tide_output_count(model);
  trial t = {.model = model, .before = aligned_memory(tide_snapshot_bytes(model))};
  void *memory = aligned_memory(tide_stream_bytes(model));
  t.stream = tide_stream_init(memory, model), t.after = aligned_memory(tide_snapshot_bytes(model));
  t.frames = random_frames(&seed, FRAMES, width), t.outputs = aligned_memory(outputs * sizeof *t.outputs);
  for (uint32_t i = 0; i < FRAMES * width; i++) {
    if (tide_feature_ids(model, i % width)) t.frames[i] = 0.0f;
  }
  for (uint32_t i = 0; i < outputs; i++) {
    t.outputs[i] = aligned_memory(FRAMES * tide_output_width(model, i) * sizeof(float));
  }
  int good = tide_push(t.stream, t.frames, FRAMES, t.outputs) == TIDE_OK;
  t.bytes = tide_snapshot(t.stream, t.before);
  good = good && misuse(&t, plan, bytes);
  for (uint32_t i = 0; i < outputs; i++) free(t.outputs[i]);
  free(t.outputs), free(t.frames), free(t.before), free(t.after), free(memory);
  return good;
}

static int try_plan(const char *stem) {
  const file_bytes plan = read_file(stem, ".tide");
  size_t plain = 0;
  while (tide_variant_at(plain + 1)) plain++;
  void *memory = aligned_memory(tide_model_bytes(plan.data, tide_variant_at(plain)));
  const int good = run_trial(tide_model_init(memory, plan.data, tide_variant_at(plain)), plan.data, plan.count);
  free(memory);
  free(plan.data);
  return good || (fprintf(stderr, "misuse: %s: %s\n", stem, said), 0);
}

/* The library and the header that it was compiled with are of one version. */
static int version_ok(void) {
  char wanted[64];
  snprintf(wanted, sizeof wanted, "%d.%d.%d", TIDE_VERSION_MAJOR, TIDE_VERSION_MINOR, TIDE_VERSION_PATCH);
  return strcmp(tide_version(), wanted) == 0 || (fprintf(stderr, "misuse: version %s\n", tide_version()), 0);
}

int main(int count, char **arguments) {
  if (!version_ok()) return 1;
  for (int i = 1; i < count; i++) {
    if (!try_plan(arguments[i])) return 1;
  }
  printf("tidegate %s: %d plans, nothing that is wrong changes a stream\n", tide_version(), count - 1);
  return 0;
}
