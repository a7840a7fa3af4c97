/* A fuzz target: any bytes as a plan. Built by tests/fuzzing/fuzz.py with clang's libFuzzer and sanitizers. */
#include <stdlib.h>
#include <string.h>

#include "../src/plan.h"
#include "random_plan.h"
#include "running.h"
#include "trying.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tide_fault fault;
  void *plan = memcpy(aligned_memory(size), data, size);
  try_plan(plan, size, &fault);
  free(plan);
  return 0;
}

/* Changes one number of the header or of an operation: among all the bytes of weights these are few. */
static void mutate_field(uint8_t *plan, size_t size, uint64_t *seed) {
  const size_t records = (size - PLAN_HEADER_BYTES) / PLAN_OP_BYTES;
  const uint32_t op = random_below(seed, 1 + (uint32_t)(records < 8 ? records : 8));
  uint8_t *record = op ? plan + PLAN_HEADER_BYTES + (op - 1) * PLAN_OP_BYTES : plan;
  uint8_t *field = record + 4 * random_below(seed, (op ? PLAN_OP_BYTES : PLAN_HEADER_BYTES) / 4);
  static const uint32_t VALUES[] = {0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 0x7fffffff, 0xffffffff};
  const uint32_t value = VALUES[random_below(seed, sizeof VALUES / sizeof *VALUES)];
  if (random_below(seed, 2)) memcpy(field, &value, sizeof value);
  else LLVMFuzzerMutate(field, 4, 4);
}

/* Most mutants get a correct hash, or none would pass this first check. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed_bits) {
  uint64_t seed = seed_bits;
  if (size >= PLAN_HEADER_BYTES && random_below(&seed, 2)) mutate_field(data, size, &seed);
  else size = LLVMFuzzerMutate(data, size, max_size);
  if (random_below(&seed, 16)) repair_plan(data, size);
  return size;
}
