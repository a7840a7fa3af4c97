#include "random_plan.h"

#include <stdlib.h>
#include <string.h>

#include "../src/bytes.h"
#include "../src/hash.h"
#include "../src/plan.h"
#include "running.h"

enum { MOST_LAYERS = 3, MOST_WIDTH = 70, ROOM = 1 << 18 };

typedef enum plan_kind { OP_LSTM = 1, OP_LINEAR = 2 } plan_kind;

/* splitmix64 */
static uint32_t random_bits(uint64_t *seed) {
  uint64_t z = *seed += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (uint32_t)(z >> 32);
}

uint32_t random_below(uint64_t *seed, uint32_t limit) { return random_bits(seed) % limit; }

/* Uniform in [-1, 1). */
static float random_unit(uint64_t *seed) { return (float)(random_bits(seed) >> 8) * 0x1p-23f - 1.0f; }

/* ---- a plan, written as in docs/plan.md ---- */

typedef struct writer {
  uint8_t *data;
  uint64_t used;
  uint64_t *seed;
} writer;

static void put32(const writer *w, uint64_t at, uint32_t value) { put_u32(w->data + at, value); }
static void put64(const writer *w, uint64_t at, uint64_t value) { put_u64(w->data + at, value); }

/* Takes bytes on the next cache line; returns their offset. */
static uint64_t append(writer *w, uint64_t bytes) {
  const uint64_t at = w->used;
  w->used = (at + bytes + TIDE_ALIGNMENT - 1) / TIDE_ALIGNMENT * TIDE_ALIGNMENT;
  if (w->used > ROOM) abort();
  memset(w->data + at, 0, w->used - at);
  return at;
}

/* Some rows hold only extremes, some only zeros: so sums reach their bounds. */
static uint64_t append_codes(writer *w, uint32_t rows, uint32_t columns) {
  const uint64_t at = append(w, (uint64_t)rows * columns);
  for (uint32_t row = 0; row < rows; row++) {
    const uint32_t sort = random_below(w->seed, 10);
    for (uint32_t k = 0; k < columns; k++) {
      const int code = sort == 0 ? 127 : sort == 1 ? -127 : sort == 2 ? 0 : (int)random_below(w->seed, 255) - 127;
      w->data[at + (uint64_t)row * columns + k] = (uint8_t)code;
    }
  }
  return at;
}

static uint64_t append_scales(writer *w, uint32_t rows) {
  const uint64_t at = append(w, rows * sizeof(float));
  for (uint32_t i = 0; i < rows; i++) {
    const float scale = (1.5f + 0.5f * random_unit(w->seed)) / (float)(32u << random_below(w->seed, 10));
    put32(w, at + i * sizeof scale, float_bits(scale));
  }
  return at;
}

static uint64_t append_bias(writer *w, uint32_t rows) {
  const uint64_t at = append(w, rows * sizeof(float));
  const int none = random_below(w->seed, 5) == 0;
  for (uint32_t i = 0; i < rows; i++) {
    const float bias = none ? 0.0f : 2.0f * random_unit(w->seed);
    put32(w, at + i * sizeof bias, float_bits(bias));
  }
  return at;
}

static void write_matrix(writer *w, uint64_t record, uint32_t rows, uint32_t columns, plan_reading reading,
                         uint32_t bits) {
  const int constant = random_below(w->seed, 4) == 0;
  put64(w, record, append_codes(w, rows, columns));
  put64(w, record + 8, append_scales(w, rows));
  put32(w, record + 16, rows);
  put32(w, record + 20, columns);
  put32(w, record + 24, constant ? READ_CONSTANT : reading);
  put32(w, record + 28, bits);
  put32(w, record + 32, 8);
  if (constant) put32(w, record + 44, float_bits(0.25f * (float)(1u << random_below(w->seed, 6))));
}

static void write_layer(writer *w, uint32_t op, plan_kind kind, uint32_t columns, uint32_t width, plan_reading reading,
                        uint32_t bits) {
  const uint64_t record = PLAN_HEADER_BYTES + (uint64_t)op * PLAN_OP_BYTES;
  const uint32_t rows = kind == OP_LSTM ? 4 * width : width;
  put32(w, record, kind);
  put32(w, record + 8, op); /* the operation's input */
  write_matrix(w, record + 48, rows, columns, reading, bits);
  if (kind == OP_LSTM) write_matrix(w, record + 96, rows, width, READ_HIDDEN, bits);
  put64(w, record + 192, append_bias(w, rows));
}

static void write_header(const writer *w, uint32_t ops, uint64_t outputs, uint32_t width) {
  memcpy(w->data, "TIDEGATE", 8);
  put32(w, 8, PLAN_VERSION);
  put64(w, 48, w->used);
  put32(w, 56, ops);
  put32(w, 60, ops);
  put32(w, 64, width);
  put64(w, 72, PLAN_HEADER_BYTES);
  put64(w, 80, outputs);
  put64(w, 88, outputs); /* no text */
  tide_hash(w->data + 48, w->used - 48, w->data + 16);
}

void *random_plan(uint64_t *seed, size_t *bytes) {
  writer w = {.data = aligned_memory(ROOM), .seed = seed};
  const uint32_t ops = 1 + random_below(seed, MOST_LAYERS), bits = random_below(seed, 2) ? 16 : 8;
  const uint32_t input_width = 1 + random_below(seed, MOST_WIDTH);
  append(&w, PLAN_HEADER_BYTES + ops * PLAN_OP_BYTES);
  const uint64_t outputs = append(&w, ops * sizeof(uint32_t));
  uint32_t columns = input_width;
  plan_reading reading = READ_FRAME;
  for (uint32_t op = 0; op < ops; op++) {
    const plan_kind kind = random_below(seed, 3) ? OP_LSTM : OP_LINEAR;
    const uint32_t width = 1 + random_below(seed, MOST_WIDTH);
    write_layer(&w, op, kind, columns, width, reading, bits);
    put32(&w, outputs + op * sizeof(uint32_t), op + 1);
    columns = width;
    reading = kind == OP_LSTM ? READ_HIDDEN : READ_FRAME;
  }
  write_header(&w, ops, outputs, input_width);
  *bytes = w.used;
  void *plan = memcpy(aligned_memory(w.used), w.data, w.used);
  free(w.data);
  return plan;
}

float *random_frames(uint64_t *seed, size_t count, size_t width) {
  static const float LOUDNESS[] = {0.0f, 1e-30f, 1e-18f, 1e6f, 1e10f};
  float *frames = aligned_memory(count * width * sizeof *frames);
  for (size_t t = 0; t < count; t++) {
    const uint32_t sort = random_below(seed, 12);
    const float loudness = sort < 5 ? LOUDNESS[sort] : 3.0f;
    const int one_sided = sort == 5;
    for (size_t i = 0; i < width; i++) {
      frames[t * width + i] = loudness * (one_sided ? 1.0f : random_unit(seed));
    }
  }
  return frames;
}
