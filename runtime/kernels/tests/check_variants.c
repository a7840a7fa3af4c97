/* Every variant that this processor runs gives the bits of plain C, however a stream is cut.
 *
 *     check_variants [PLANS [SEED]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../src/plan.h"
#include "random_plan.h"
#include "running.h"

enum { MOST_FRAMES = 40, MOST_CUTS = 6 };

static int by_place(const void *a, const void *b) {
  const size_t x = *(const size_t *)a, y = *(const size_t *)b;
  return (x > y) - (x < y);
}

/* Plain C is the last of the list. */
static const tide_variant *plain_c(void) {
  size_t i = 0;
  while (tide_variant_at(i + 1)) i++;
  return tide_variant_at(i);
}

/* Runs one plan and stream: whole through plain C, cut into pieces through every variant. */
static int check_one(uint64_t seed) {
  size_t bytes, cuts[MOST_CUTS];
  void *plan = random_plan(&seed, &bytes);
  tide_fault fault;
  if (tide_plan_check(plan, bytes, &fault) != TIDE_OK) return fprintf(stderr, "plan refused: %s\n", fault.field), 0;
  const size_t count = 1 + random_below(&seed, MOST_FRAMES), cut_count = random_below(&seed, MOST_CUTS + 1);
  float *frames = random_frames(&seed, count, plan_read_header(plan).input_width);
  answer wanted = run_plan(plan, plain_c(), frames, count, NULL, 0);
  int good = 1;
  for (size_t i = 0; tide_variant_at(i) && good; i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (!tide_variant_supported(variant)) continue;
    for (size_t k = 0; k < cut_count; k++) cuts[k] = random_below(&seed, (uint32_t)count + 1);
    qsort(cuts, cut_count, sizeof *cuts, by_place);
    answer seen = run_plan(plan, variant, frames, count, cuts, cut_count);
    good = same_bits(&seen, &wanted, tide_variant_name(variant));
    free(seen.values);
  }
  free(wanted.values);
  free(frames);
  free(plan);
  return good;
}

int main(int argument_count, char **arguments) {
  const uint64_t plans = argument_count > 1 ? strtoull(arguments[1], NULL, 10) : 500;
  const uint64_t seed = argument_count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  for (uint64_t i = 0; i < plans; i++) {
    if (!check_one(seed + i)) return fprintf(stderr, "to see it again: check_variants 1 %" PRIu64 "\n", seed + i), 1;
  }
  for (size_t i = 0; tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (tide_variant_supported(variant)) printf("%s: %" PRIu64 " plans equal\n", tide_variant_name(variant), plans);
    else printf("%s: not on this processor\n", tide_variant_name(variant));
  }
  return 0;
}
