/* After init the engine makes no system call: every call runs in a process that the kernel would kill at its first one.
 * And each call leaves the floating-point control register as it was.
 *
 *     realtime VECTOR...
 *
 * reads VECTOR.tide. That nothing is allocated or locked follows from the symbols that the library needs: see
 * tests/kernels/test_realtime.py.
 */
#define _GNU_SOURCE
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/hash.h"
#include "random_plan.h"
#include "running.h"

enum { FRAMES = 40, GROUP_ROWS = 2 };

/* ---- the floating-point control register ---- */

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
enum { FLUSHING = 0x8040, STICKY = 0x3f }; /* flush to zero, denormals are zero; status flags */
static uint64_t control(void) { return _mm_getcsr() & ~(unsigned)STICKY; }
static void set_control(uint64_t value) { _mm_setcsr((unsigned)value); }
#elif defined(__aarch64__)
enum { FLUSHING = 1 << 24 };
static uint64_t control(void) {
  uint64_t value;
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
static void set_control(uint64_t value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
enum { FLUSHING = 0 };
static uint64_t control(void) { return 0; }
static void set_control(uint64_t value) { (void)value; }
#endif

/* ---- every call that may follow init ---- */

typedef struct room {
  tide_stream *stream;
  tide_group *group;
  const tide_model *model;
  float *frames, *bad, *answers, *state;
  size_t answer_bytes;
  float **outputs;
  uint8_t *snapshot;
  size_t snapshot_bytes;
} room;

static int every_call_of_groups(const room *r) {
  if (!r->group) return 0; /* the model looks ahead */
  const uint32_t both[GROUP_ROWS] = {1, 0}, one[GROUP_ROWS] = {0, 1};
  tide_status statuses[GROUP_ROWS];
  for (uint32_t i = 0; i < tide_group_rows(r->group); i++) tide_group_leave(r->group, i);
  tide_group_join(r->group, 0);
  tide_group_push(r->group, one, GROUP_ROWS, r->frames, FRAMES / GROUP_ROWS, r->outputs, statuses);
  if (statuses[0] == TIDE_E_INPUT || statuses[1] != TIDE_E_ROW) return 11;
  tide_group_join(r->group, 1);
  tide_group_push(r->group, both, GROUP_ROWS, r->bad, FRAMES / GROUP_ROWS, r->outputs, statuses);
  if (statuses[0] == TIDE_E_INPUT || statuses[1] != TIDE_E_INPUT) return 12;
  tide_snapshot(tide_group_stream(r->group, 1), r->snapshot);
  return tide_group_joined(r->group, 1) ? 0 : 13;
}

static int every_call(const room *r) {
  tide_fault fault;
  float *const *outputs = r->outputs;
  tide_reset(r->stream);
  if (tide_push(r->stream, r->frames, 1, outputs) != TIDE_OK) return 1;
  const size_t bytes = tide_snapshot(r->stream, r->snapshot);
  const tide_status pushed = tide_push(r->stream, r->frames, FRAMES, outputs);
  if (pushed != TIDE_OK && pushed != TIDE_E_RANGE) return 2;
  if (tide_push(r->stream, r->frames, 0, outputs) != TIDE_OK) return 3;
  if (tide_push(r->stream, r->bad, FRAMES, outputs) != TIDE_E_INPUT) return 4;
  if (tide_restore(r->stream, r->snapshot, bytes, &fault) != TIDE_OK) return 5;
  if (tide_restore(r->stream, r->snapshot, bytes - 1, &fault) != TIDE_E_SNAPSHOT) return 6;
  for (uint32_t i = 0; i < tide_state_count(r->model); i++) {
    tide_state_read(r->stream, i, r->state);
    if (tide_state_write(r->stream, i, r->state) != TIDE_OK) return 14;
  }
  const tide_status finished = tide_finish(r->stream, outputs);
  if (finished != TIDE_OK && finished != TIDE_E_RANGE) return 9;
  if (finished == TIDE_OK && tide_push(r->stream, r->frames, 1, outputs) != TIDE_E_FINISHED) return 10;
  if (finished == TIDE_OK && tide_state_count(r->model) && tide_state_write(r->stream, 0, r->state) != TIDE_E_FINISHED)
    return 15;
  return tide_frames(r->stream) == 1 && tide_refused(r->stream) == 0 ? 0 : 7;
}

/* 0; the number of the call that failed; 100 and more if a call left the register changed. */
static int every_call_under(const room *r, uint64_t modes) {
  const uint64_t before = control();
  set_control(before | modes);
  int wrong = every_call_of_groups(r);
  if (!wrong) wrong = every_call(r);
  const int kept = control() == (before | modes);
  set_control(before);
  return kept ? wrong : 100 + wrong;
}

/* Runs with and without flush to zero: all answers have the same bits. */
static int every_call_twice(const room *r) {
  uint8_t plain[HASH_BYTES], flushing[HASH_BYTES];
  int wrong = every_call_under(r, 0);
  tide_hash((const uint8_t *)r->answers, r->answer_bytes, plain);
  if (!wrong) wrong = every_call_under(r, FLUSHING);
  tide_hash((const uint8_t *)r->answers, r->answer_bytes, flushing);
  return !wrong && memcmp(plain, flushing, HASH_BYTES) != 0 ? 8 : wrong;
}

/* Runs in a child that may only read, write and exit. -1: this system has no such mode. */
static int without_the_system(const room *r) {
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) syscall(SYS_exit, 255);
    syscall(SYS_exit, every_call_twice(r));
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child) abort();
  if (WIFSIGNALED(status)) return fprintf(stderr, "realtime: killed by signal %d\n", WTERMSIG(status)), 200;
  return WEXITSTATUS(status) == 255 ? -1 : WEXITSTATUS(status);
}

/* ---- over plans and variants ---- */

enum { ROWS = 2 * FRAMES }; /* rows of an answer: if a model looks ahead, some are for earlier frames */

static size_t answer_floats(const tide_model *model) {
  size_t most = 0;
  for (uint32_t i = 0; i < tide_output_count(model); i++) most += (size_t)ROWS * tide_output_width(model, i);
  return most;
}

static int try_variant(const void *plan, const tide_variant *variant) {
  void *memory = aligned_memory(tide_model_bytes(plan, variant));
  const tide_model *model = tide_model_init(memory, plan, variant);
  uint64_t seed = 1;
  room r = {.model = model, .snapshot_bytes = tide_snapshot_bytes(model)};
  void *stream_memory = aligned_memory(tide_stream_bytes(model));
  r.stream = tide_stream_init(stream_memory, model);
  void *group_memory = aligned_memory(tide_group_bytes(model, GROUP_ROWS));
  r.group = tide_group_bytes(model, GROUP_ROWS) ? tide_group_init(group_memory, model, GROUP_ROWS) : NULL;
  r.frames = random_frames(&seed, FRAMES, tide_input_width(model));
  r.bad = random_frames(&seed, FRAMES, tide_input_width(model));
  r.bad[tide_input_width(model) * FRAMES - 1] = (float)(1e300 * 1e300);
  r.snapshot = aligned_memory(r.snapshot_bytes);
  r.state = aligned_memory(r.snapshot_bytes);
  r.answer_bytes = answer_floats(model) * sizeof(float);
  r.answers = aligned_memory(r.answer_bytes);
  r.outputs = aligned_memory(tide_output_count(model) * sizeof *r.outputs);
  float *at = r.answers;
  for (uint32_t i = 0; i < tide_output_count(model); at += (size_t)ROWS * tide_output_width(model, i++)) {
    r.outputs[i] = at;
  }
  const int wrong = without_the_system(&r);
  void *all[] = {memory, stream_memory, group_memory, r.frames, r.bad, r.snapshot, r.state, r.answers, r.outputs};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  return wrong;
}

static int try_plan(const char *stem) {
  file_bytes plan = read_file(stem, ".tide");
  tide_fault fault;
  if (tide_plan_check(plan.data, plan.count, &fault) != TIDE_OK)
    return fprintf(stderr, "realtime: %s refused\n", stem), 1;
  int wrong = 0;
  for (size_t i = 0; !wrong && tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (!tide_variant_supported(variant)) continue;
    wrong = try_variant(plan.data, variant);
    if (wrong > 0) fprintf(stderr, "realtime: %s on %s: %d\n", stem, tide_variant_name(variant), wrong);
  }
  free(plan.data);
  return wrong;
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) {
    const int wrong = try_plan(arguments[i]);
    if (wrong < 0) return puts("no strict mode here, nothing tried"), 0;
    if (wrong) return 1;
  }
  printf("%d plans without a system call\n", count - 1);
  return 0;
}
