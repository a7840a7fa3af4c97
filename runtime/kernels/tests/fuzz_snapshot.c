/* A fuzz target: any bytes as a snapshot, restored into a stream in progress of the plan file TIDEGATE_PLAN. Built like
 * fuzz_plan.c. */
#include <stdlib.h>
#include <string.h>

#include "../src/hash.h"
#include "random_plan.h"
#include "running.h"

enum { HEADER_BYTES = 104, AT_HASH = 16, AT_SIZE = 48, AT_MODEL = 56, COUNT = 18 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static const tide_model *model;
static tide_stream *stream;
static float *frames, **outputs;
static uint8_t *before, *after;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  (void)count, (void)arguments;
  uint64_t seed = 3;
  tide_fault fault;
  const char *path = getenv("TIDEGATE_PLAN");
  const file_bytes plan = read_file(path ? path : "", "");
  if (tide_plan_check(plan.data, plan.count, &fault) != TIDE_OK) exit(1);
  model =
      tide_model_init(aligned_memory(tide_model_bytes(plan.data, tide_variant_best())), plan.data, tide_variant_best());
  stream = tide_stream_init(aligned_memory(tide_stream_bytes(model)), model);
  frames = random_frames(&seed, COUNT, tide_input_width(model));
  before = aligned_memory(tide_snapshot_bytes(model)), after = aligned_memory(tide_snapshot_bytes(model));
  outputs = aligned_memory(tide_output_count(model) * sizeof *outputs);
  return 0;
}

static void require(int holds) {
  if (!holds) abort();
}

/* Takes memory for exactly the rows that a call writes. */
static void take_room(size_t count) {
  for (uint32_t i = 0; i < tide_output_count(model); i++) {
    outputs[i] = aligned_memory(tide_rows(stream, i, count) * tide_output_width(model, i) * sizeof(float));
  }
}

static void give_room(void) {
  for (uint32_t i = 0; i < tide_output_count(model); i++) free(outputs[i]);
}

/* If the snapshot is refused the stream is as before. If it is accepted the stream equals it byte for byte, and goes on
 * from it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tide_fault fault = {0};
  const size_t had = tide_snapshot(stream, before);
  const tide_status status = tide_restore(stream, data, size, &fault);
  const size_t has = tide_snapshot(stream, after);
  if (status != TIDE_OK) {
    require(fault.field && has == had && memcmp(before, after, had) == 0);
    return 0;
  }
  require(size == has && memcmp(data, after, has) == 0);
  take_room(COUNT);
  tide_push(stream, frames, COUNT, outputs);
  give_room();
  return 0;
}

/* Most mutants are of this model and have a correct size and hash. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed_bits) {
  uint64_t seed = seed_bits;
  size = LLVMFuzzerMutate(data, size, max_size);
  if (max_size < HEADER_BYTES || random_below(&seed, 16) == 0) return size;
  if (size < HEADER_BYTES) memset(data + size, 0, HEADER_BYTES - size), size = HEADER_BYTES;
  tide_snapshot(stream, before);
  memcpy(data, before, AT_HASH);
  memcpy(data + AT_MODEL, before + AT_MODEL, HASH_BYTES);
  const uint64_t bytes = size;
  memcpy(data + AT_SIZE, &bytes, sizeof bytes);
  tide_hash(data + AT_SIZE, size - AT_SIZE, data + AT_HASH);
  return size;
}
