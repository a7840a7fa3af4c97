/* Every truncation and every flipped bit of a plan is refused by the name of a field. With a repaired hash a flipped
 * plan is refused by name, or runs within bounds.
 *
 *     damage STRIDE VECTOR...
 *
 * reads VECTOR.tide and tries every truncation and every STRIDE-th bit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "running.h"
#include "trying.h"

static int refuse(const char *stem, const char *how, size_t place) {
  fprintf(stderr, "%s: %s %zu is accepted\n", stem, how, place);
  return 0;
}

static int truncate_all(const char *stem, const file_bytes *plan) {
  tide_fault fault;
  for (size_t bytes = 0; bytes < plan->count; bytes++) {
    void *cut = memcpy(aligned_memory(bytes), plan->data, bytes); /* a read after its end is seen by the sanitizer */
    const int accepted = try_plan(cut, bytes, &fault);
    free(cut);
    if (accepted) return refuse(stem, "truncated to", bytes);
  }
  return 1;
}

static int flip_all(const char *stem, const file_bytes *plan, size_t stride, size_t *ran) {
  uint8_t *copy = aligned_memory(plan->count);
  tide_fault fault;
  for (size_t bit = 0; bit < 8 * plan->count; bit += stride) {
    memcpy(copy, plan->data, plan->count);
    copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    if (try_plan(copy, plan->count, &fault)) return refuse(stem, "flipped bit", bit);
    repair_plan(copy, plan->count);
    *ran += (size_t)try_plan(copy, plan->count, &fault);
  }
  free(copy);
  return 1;
}

/* Another version is refused as such, not as damage: it is checked before the hash. */
static int other_versions(const char *stem, const file_bytes *plan) {
  uint8_t *copy = memcpy(aligned_memory(plan->count), plan->data, plan->count);
  for (uint32_t version = 0; version < 100; version++) {
    const uint32_t own = 2;
    tide_fault fault = {0};
    memcpy(copy + 8, &version, sizeof version);
    if (version == own || (!try_plan(copy, plan->count, &fault) && strcmp(fault.field, "version") == 0 &&
                           fault.seen == version && fault.wanted == own)) {
      continue;
    }
    return refuse(stem, "version", version);
  }
  free(copy);
  return 1;
}

int main(int count, char **arguments) {
  const size_t stride = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
  size_t bits = 0, ran = 0;
  for (int i = 2; i < count; i++) {
    file_bytes plan = read_file(arguments[i], ".tide");
    if (!truncate_all(arguments[i], &plan) || !other_versions(arguments[i], &plan) ||
        !flip_all(arguments[i], &plan, stride, &ran)) {
      return 1;
    }
    bits += (8 * plan.count + stride - 1) / stride;
    free(plan.data);
  }
  printf("%d plans: %zu flips refused, of those under a repaired hash %zu refused by name and %zu run\n", count - 2,
         bits, bits - ran, ran);
  return 0;
}
