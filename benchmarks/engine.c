/* Times a plan in C, beside the bounds of the same machine in the same run.
 *
 *     engine PLAN VARIANT STEPS CALLS [ROWS]
 *
 * makes at most CALLS pushes, in turns of 200 while fewer than three seconds have passed, and
 * prints JSON, in nanoseconds: median and 99.9th percentile of a push of STEPS frames of noise, the median of
 * one of silence, median and 99.9th percentile of reading the weight bytes (the input part once a push, the
 * recurrent part at every step), and the time of 10^6 multiply-adds at the peak rate of the variant's instruction set,
 * by what, and how many passes codes of 16 bits take. With ROWS instead the medians of a push of so many streams in a
 * group and of as many streams one by one. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../runtime/kernels/src/kernels.h"
#include "limits.h"

enum { FRAMES = 64, TURN = 200 };
static const uint64_t MOST_NS = 3000000000u; /* no new turn after it: 20,000 pushes of plain C take minutes */

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void *aligned(size_t bytes) { return aligned_alloc(TIDE_ALIGNMENT, tide_round_up(bytes + 1, TIDE_ALIGNMENT)); }

static void *read_file(const char *path, size_t *bytes) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  fseek(file, 0, SEEK_END);
  *bytes = (size_t)ftell(file);
  rewind(file);
  void *data = aligned(*bytes);
  const size_t got = fread(data, 1, *bytes, file);
  fclose(file);
  return got == *bytes ? data : NULL;
}

/* ---- bounds ---- */

typedef struct work {
  size_t input_bytes, recurrent_bytes; /* of weights */
} work;

static size_t matrix_bytes(const plan_matrix *m) {
  const size_t scales = plan_groups(m) > 1 ? plan_groups(m) * sizeof(float) : 0;
  return m->rows * (((size_t)m->columns * m->weight_bits + 7) / 8 + scales);
}

/* The second matrix of an operation is read at every step, the first once a push. */
static work work_of(const void *plan, uint32_t op) {
  const plan_header header = plan_read_header(plan);
  const plan_op o = plan_read_op(&header, op);
  return (work){matrix_bytes(&o.matrices[0]), matrix_bytes(&o.matrices[1])};
}

/* Nanoseconds of 10^6 multiply-adds at the peak rate: of the shortest of many passes. */
static double peak_ns_per_million(const tide_limits *limits) {
  const uint32_t loops = 1000000u / limits->macs + 1;
  double best = 1e9;
  for (int pass = 0; pass < 200; pass++) {
    const uint64_t start = now();
    limits->multiply(loops);
    const double ns = (double)(now() - start) / ((double)loops * limits->macs) * 1e6;
    if (ns < best) best = ns;
  }
  return best;
}

static void print_peak(const tide_limits *limits) {
  printf("\"million_macs_ns\": %.3f, \"peak\": \"%s\", \"planes\": %u}\n", peak_ns_per_million(limits), limits->peak,
         limits->planes);
}

/* Reads what a push of `steps` frames reads, where the weights of all operations share the caches. */
static int64_t read_push(const tide_limits *limits, const void *plan, uint32_t ops, const uint8_t *weights,
                         size_t steps) {
  int64_t sink = 0;
  for (uint32_t op = 0; op < ops; op++) {
    const work w = work_of(plan, op);
    sink |= limits->read(weights, w.input_bytes);
    weights += tide_round_up(w.input_bytes, LIMIT_BLOCK);
    for (size_t t = 0; t < steps; t++) {
      sink |= limits->read(weights, w.recurrent_bytes);
      __asm__ volatile("" ::: "memory"); /* or the compiler reads once */
    }
    weights += tide_round_up(w.recurrent_bytes, LIMIT_BLOCK);
  }
  return sink;
}

/* ---- timing ---- */

typedef struct times {
  uint64_t *ns;
  size_t count;
} times;

static times room_for(size_t calls) { return (times){aligned(calls * sizeof(uint64_t)), 0}; }

static unsigned long long ns_at(times *t, double share) {
  if (t->count == 0) return 0;
  qsort(t->ns, t->count, sizeof *t->ns, by_value);
  return t->ns[(size_t)((double)(t->count - 1) * share)];
}

static void time_pushes(times *t, size_t calls, tide_stream *stream, const float *frames, size_t chunk, size_t steps,
                        float *const *outputs) {
  for (size_t i = 0; i < calls; i++) {
    const uint64_t start = now();
    tide_push(stream, frames + i % FRAMES * chunk, steps, outputs);
    t->ns[t->count++] = now() - start;
  }
}

static int64_t time_reads(times *t, size_t calls, const tide_limits *limits, const void *plan, uint32_t ops,
                          const uint8_t *weights, size_t steps) {
  int64_t sink = 0;
  for (size_t i = 0; i < calls; i++) {
    const uint64_t start = now();
    sink |= read_push(limits, plan, ops, weights, steps);
    t->ns[t->count++] = now() - start;
  }
  return sink;
}

static const tide_variant *variant_named(const char *name) {
  for (size_t i = 0; tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (strcmp(tide_variant_name(variant), name) == 0 && tide_variant_supported(variant)) return variant;
  }
  return NULL;
}

static tide_stream *new_stream(const tide_model *model) {
  return tide_stream_init(aligned(tide_stream_bytes(model)), model);
}

/* ---- many streams ---- */

/* A push of all rows of a group, and as many pushes of streams alone. */
static void time_rows(times *together, times *alone, size_t calls, tide_group *group, tide_stream **streams,
                      const float *frames, size_t chunk, size_t steps, float *const *outputs) {
  const uint32_t rows = tide_group_rows(group);
  uint32_t all[rows];
  tide_status statuses[rows];
  for (uint32_t i = 0; i < rows; i++) all[i] = i;
  for (size_t i = 0; i < calls; i++) {
    const float *own = frames + i % FRAMES * chunk;
    const uint64_t start = now();
    tide_group_push(group, all, rows, own, steps, outputs, statuses);
    const uint64_t between = now();
    for (uint32_t k = 0; k < rows; k++) tide_push(streams[k], own + k * chunk, steps, outputs);
    together->ns[together->count++] = between - start;
    alone->ns[alone->count++] = now() - between;
  }
}

static int time_group(const tide_model *model, const tide_limits *limits, uint32_t rows, size_t calls,
                      const float *frames, size_t chunk, size_t steps) {
  tide_group *group = tide_group_init(aligned(tide_group_bytes(model, rows)), model, rows);
  tide_stream *streams[rows];
  for (uint32_t i = 0; i < rows; i++) streams[i] = new_stream(model);
  float *outputs[1] = {aligned(rows * steps * tide_output_width(model, 0) * sizeof(float))};
  times together = room_for(calls), alone = room_for(calls);
  time_rows(&together, &alone, calls, group, streams, frames, chunk, steps, outputs);
  printf("{\"group_ns\": %llu, \"alone_ns\": %llu, ", ns_at(&together, 0.5), ns_at(&alone, 0.5));
  print_peak(limits);
  return 0;
}

int main(int count, char **arguments) {
  if (count < 5) return fprintf(stderr, "usage: engine PLAN VARIANT STEPS CALLS [ROWS]\n"), 2;
  size_t bytes = 0;
  void *plan = read_file(arguments[1], &bytes);
  const tide_variant *variant = variant_named(arguments[2]);
  const size_t steps = strtoul(arguments[3], NULL, 10), calls = strtoul(arguments[4], NULL, 10);
  const uint32_t rows = count > 5 ? (uint32_t)strtoul(arguments[5], NULL, 10) : 0;
  tide_fault fault;
  if (!plan || tide_plan_check(plan, bytes, &fault) != TIDE_OK) return fprintf(stderr, "engine: no plan\n"), 1;
  if (!variant) return fprintf(stderr, "engine: no such variant on this machine\n"), 1;
  const tide_limits *limits = tide_limits_of(arguments[2]);
  if (!limits) return fprintf(stderr, "engine: no limits of %s in limits.c\n", arguments[2]), 1;

  const tide_model *model = tide_model_init(aligned(tide_model_bytes(plan, variant)), plan, variant);
  tide_stream *loud = new_stream(model), *silent = new_stream(model);
  const size_t chunk = steps * tide_input_width(model);
  float *noise = aligned((FRAMES + rows) * chunk * sizeof *noise), *zeros = aligned(FRAMES * chunk * sizeof *zeros);
  memset(zeros, 0, FRAMES * chunk * sizeof *zeros);
  const int ids = (int)tide_input_ids(model);
  for (size_t i = 0; i < (FRAMES + rows) * chunk; i++)
    noise[i] = ids ? (float)(rand() % ids) : (float)(rand() % 2001 - 1000) / 500.0f;
  if (rows) return time_group(model, limits, rows, calls, noise, chunk, steps);
  float *outputs[1] = {aligned(steps * tide_output_width(model, 0) * sizeof(float))};

  const uint32_t ops = plan_read_header(plan).ops;
  uint8_t *weights = aligned(bytes + 512 * ops);
  memset(weights, 1, bytes + 512 * ops);
  times push = room_for(calls), silence = room_for(calls), read = room_for(calls);
  int64_t sink = 0;
  tide_push(silent, noise, steps, outputs); /* something to decay */
  const uint64_t begun = now();
  while (push.count < calls && now() - begun < MOST_NS) { /* in turns, so that a busy moment meets all */
    const size_t turn = calls - push.count < TURN ? calls - push.count : TURN;
    time_pushes(&push, turn, loud, noise, chunk, steps, outputs);
    time_pushes(&silence, turn, silent, zeros, chunk, steps, outputs);
    sink |= time_reads(&read, turn, limits, plan, ops, weights, steps);
  }
  printf("{\"push_ns\": %llu, \"push_p999_ns\": %llu, \"silence_ns\": %llu, ", ns_at(&push, 0.5), ns_at(&push, 0.999),
         ns_at(&silence, 0.5));
  printf("\"read_ns\": %llu, \"read_p999_ns\": %llu,%s ", ns_at(&read, 0.5), ns_at(&read, 0.999),
         sink == 42 ? " " : "");
  print_peak(limits);
  return 0;
}
