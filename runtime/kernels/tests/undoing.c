/* A stream that is refused frames, saved and restored in between goes on as one to which nothing of this happens, and
 * a stream that has ended stays ended.
 *
 *     undoing STEPS VECTOR...
 *
 * takes the plans VECTOR.tide, each on every variant of this processor. All memory is as large as the engine asks for.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/bytes.h"
#include "../src/hash.h"
#include "../src/plan.h"
#include "random_plan.h"
#include "running.h"

enum { MOST_FRAMES = 40, LIFE = 40, AT_HASH = 16, AT_SIZE = 48, AT_REFUSED = 96, AT_FINISHED = 104 };

typedef struct pair {
  uint64_t seed;
  const tide_model *model;
  tide_stream *tried, *calm;
  uint64_t refused, undone; /* frames that `tried` was refused; pushes of which a part had run */
} pair;

static int fault(const pair *p, const char *what) {
  fprintf(stderr, "undoing: %s, %s\n", what, tide_variant_name(tide_model_variant(p->model)));
  return 0;
}

static tide_stream *new_stream(const tide_model *model) {
  return tide_stream_init(aligned_memory(tide_stream_bytes(model)), model);
}

/* ---- answers, all outputs one after another ---- */

typedef struct answers {
  float **outputs, *values;
  size_t bytes;
} answers;

static answers room_for(const tide_stream *stream, const tide_model *model, size_t count, int ending) {
  const uint32_t outputs = tide_output_count(model);
  size_t floats[PLAN_MAX_OPS];
  answers a = {.outputs = aligned_memory(outputs * sizeof *a.outputs)};
  for (uint32_t i = 0; i < outputs; i++) {
    floats[i] = (ending ? tide_rest(stream, i) : tide_rows(stream, i, count)) * tide_output_width(model, i);
    a.bytes += floats[i] * sizeof *a.values;
  }
  a.values = aligned_memory(a.bytes);
  float *at = a.values;
  for (uint32_t i = 0; i < outputs; at += floats[i++]) a.outputs[i] = at;
  return a;
}

static void give_back(answers a) { free(a.values), free(a.outputs); }

static int same_answers(answers a, answers b) { return a.bytes == b.bytes && memcmp(a.values, b.values, a.bytes) == 0; }

/* ---- states ---- */

/* The snapshot of a stream, in exactly as many bytes as it has. */
static file_bytes saved(const pair *p, const tide_stream *stream) {
  uint8_t *most = aligned_memory(tide_snapshot_bytes(p->model));
  file_bytes s = {.count = tide_snapshot(stream, most)};
  s.data = memcpy(aligned_memory(s.count), most, s.count);
  free(most);
  return s;
}

/* All is equal but the count of refused frames, and so the hash. */
static int same_state(const pair *p) {
  const file_bytes a = saved(p, p->tried), b = saved(p, p->calm);
  const uint8_t *x = a.data, *y = b.data;
  const int same = a.count == b.count && memcmp(x, y, AT_HASH) == 0 &&
                   memcmp(x + AT_SIZE, y + AT_SIZE, AT_REFUSED - AT_SIZE) == 0 &&
                   memcmp(x + AT_FINISHED, y + AT_FINISHED, a.count - AT_FINISHED) == 0;
  free(a.data);
  free(b.data);
  if (!same) return fault(p, "another state");
  return tide_refused(p->tried) == p->refused || fault(p, "another count of refused frames");
}

/* Saves the stream, spoils it, and restores it. */
static int go_round(pair *p) {
  const file_bytes s = saved(p, p->tried);
  tide_fault why;
  tide_reset(p->tried);
  const tide_status status = tide_restore(p->tried, s.data, s.count, &why);
  free(s.data);
  return status == TIDE_OK || fault(p, "its own snapshot is refused");
}

/* A snapshot with one wrong field under a correct hash is refused by the field's name. */
static int refuse_wrong(pair *p) {
  static const size_t AT[] = {8, 12, 56, 104, 112};
  static const uint32_t VALUES[] = {1, 2, 7, 2, 0x60000000}; /* the last one is 2^65 */
  static const char *const FIELDS[] = {"version", "backend", "model", "finished", "state"};
  const uint32_t k = random_below(&p->seed, 5);
  const file_bytes s = saved(p, p->tried);
  uint8_t *bytes = s.data;
  tide_fault why = {0};
  int good = 1;
  if (AT[k] + sizeof VALUES[k] <= s.count) {
    put_u32(bytes + AT[k], VALUES[k]);
    tide_hash(bytes + AT_SIZE, s.count - AT_SIZE, bytes + AT_HASH);
    good = tide_restore(p->tried, bytes, s.count, &why) == TIDE_E_SNAPSHOT && strcmp(why.field, FIELDS[k]) == 0;
  }
  free(s.data);
  return good || fault(p, "a wrong snapshot");
}

/* Every state vector is written again as it is; a finished stream refuses that. */
static int write_states(const pair *p, tide_status wanted) {
  int good = 1;
  for (uint32_t i = 0; good && i < tide_state_count(p->model); i++) {
    float *state = aligned_memory(tide_state_width(p->model, i) * sizeof *state);
    tide_state_read(p->tried, i, state);
    good = tide_state_write(p->tried, i, state) == wanted;
    free(state);
  }
  return good || fault(p, "a state that is written");
}

/* ---- pushes ---- */

static float *frames_for(pair *p, size_t count) {
  const uint32_t ids = tide_input_ids(p->model);
  const size_t width = tide_input_width(p->model);
  float *frames = random_frames(&p->seed, count, width);
  for (size_t i = 0; ids && i < count * width; i++) frames[i] = (float)random_below(&p->seed, ids);
  return frames;
}

/* Both take the frames, or are refused them with the same status. */
static int push_both(pair *p, const float *frames, size_t count) {
  answers a = room_for(p->tried, p->model, count, 0), b = room_for(p->calm, p->model, count, 0);
  const tide_status status = tide_push(p->tried, frames, count, a.outputs);
  const tide_status wanted = tide_push(p->calm, frames, count, b.outputs);
  const int same = status == wanted && (status != TIDE_OK || same_answers(a, b));
  if (status != TIDE_OK) p->refused += count;
  give_back(a);
  give_back(b);
  return same || fault(p, "another answer");
}

/* Both are pushed frames, or with `bad` one alone, a value that is NaN or so loud that a result may leave 2^64. */
static int push(pair *p, size_t count, int bad) {
  static const float LOUD[] = {NAN, INFINITY, 1e12f, 1e16f, 1.8e19f, -1.8e19f};
  const size_t values = count * tide_input_width(p->model);
  float *frames = frames_for(p, count);
  if (bad && values) frames[random_below(&p->seed, (uint32_t)values)] = LOUD[random_below(&p->seed, 6)];
  answers a = room_for(p->tried, p->model, count, 0);
  const file_bytes before = saved(p, p->tried);
  const tide_status status = bad ? tide_push(p->tried, frames, count, a.outputs) : TIDE_OK;
  give_back(a);
  tide_fault why;
  int good = 1;
  if (status != TIDE_OK) p->refused += count, p->undone += status == TIDE_E_RANGE;
  else
    good = (!bad || tide_restore(p->tried, before.data, before.count, &why) == TIDE_OK) && push_both(p, frames, count);
  free(before.data);
  free(frames);
  return good;
}

static int step(pair *p) {
  const size_t count = random_below(&p->seed, 3) ? random_below(&p->seed, 4) : random_below(&p->seed, MOST_FRAMES);
  const uint32_t sort = random_below(&p->seed, 8);
  const int good = sort < 2    ? push(p, count, 1)
                   : sort == 2 ? go_round(p)
                   : sort == 3 ? refuse_wrong(p)
                   : sort == 4 ? write_states(p, TIDE_OK)
                               : push(p, count, 0);
  return good && same_state(p);
}

/* ---- the end ---- */

/* Everything that would change a stream that has ended is refused. */
static int stays_ended(const pair *p) {
  float *frame = aligned_memory(tide_input_width(p->model) * sizeof *frame);
  answers none = room_for(p->tried, p->model, 0, 1);
  memset(frame, 0, tide_input_width(p->model) * sizeof *frame);
  int ended = tide_finished(p->tried) && tide_push(p->tried, frame, 1, none.outputs) == TIDE_E_FINISHED &&
              tide_finish(p->tried, none.outputs) == TIDE_E_FINISHED;
  for (uint32_t i = 0; i < tide_output_count(p->model); i++) ended &= tide_rest(p->tried, i) == 0;
  ended = ended && write_states(p, TIDE_E_FINISHED);
  give_back(none);
  free(frame);
  return ended || fault(p, "goes on after its end");
}

static int finish_both(pair *p) {
  answers a = room_for(p->tried, p->model, 0, 1), b = room_for(p->calm, p->model, 0, 1);
  const tide_status status = tide_finish(p->tried, a.outputs), wanted = tide_finish(p->calm, b.outputs);
  const int same = status == wanted && (status != TIDE_OK || same_answers(a, b));
  give_back(a);
  give_back(b);
  if (!same) return fault(p, "another end");
  return same_state(p) && (status != TIDE_OK || (go_round(p) && same_state(p) && stays_ended(p)));
}

/* ---- many lives of two streams ---- */

static int run_pair(const tide_model *model, uint64_t steps, uint64_t *undone) {
  pair p = {.seed = steps, .model = model, .tried = new_stream(model), .calm = new_stream(model)};
  int good = 1;
  for (uint64_t i = 0; good && i < steps; i++) {
    good = step(&p);
    if (!good || (i + 1) % LIFE) continue;
    good = finish_both(&p);
    tide_reset(p.tried);
    tide_reset(p.calm);
    p.refused = 0;
  }
  *undone += p.undone;
  free(p.tried);
  free(p.calm);
  return good;
}

static int try_vector(const char *stem, uint64_t steps, uint64_t *undone) {
  file_bytes plan = read_file(stem, ".tide");
  tide_fault why;
  int good = tide_plan_check(plan.data, plan.count, &why) == TIDE_OK;
  for (size_t i = 0; good && tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (!tide_variant_supported(variant)) continue;
    void *memory = aligned_memory(tide_model_bytes(plan.data, variant));
    good = run_pair(tide_model_init(memory, plan.data, variant), steps, undone);
    free(memory);
  }
  free(plan.data);
  if (!good) fprintf(stderr, "undoing: %s\n", stem);
  return good;
}

int main(int count, char **arguments) {
  if (count < 3) return fprintf(stderr, "usage: undoing STEPS VECTOR...\n"), 2;
  uint64_t undone = 0;
  for (int i = 2; i < count; i++) {
    if (!try_vector(arguments[i], strtoull(arguments[1], NULL, 10), &undone)) return 1;
  }
  printf("%d plans: %" PRIu64 " pushes undone, as if they had not been\n", count - 2, undone);
  return 0;
}
