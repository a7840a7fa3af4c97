/* Every variant that this processor runs gives the bits that the NumPy specification gave.
 *
 *     replay VECTOR...
 *
 * reads VECTOR.tide, VECTOR.frames and VECTOR.answers; see tests/vectors/generate.py.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../src/plan.h"
#include "running.h"

static const size_t PIECES[] = {1000000, 1, 7, 16, 17}; /* frames per push */

static int replay_in_pieces(const void *plan, const tide_variant *variant, const float *frames, size_t count,
                            const answer *wanted, size_t piece) {
  size_t *cuts = aligned_memory(count * sizeof *cuts), cut_count = 0;
  for (size_t at = piece; at < count; at += piece) cuts[cut_count++] = at;
  answer seen = run_plan(plan, variant, frames, count, cuts, cut_count);
  const int good = same_bits(&seen, wanted, tide_variant_name(variant));
  if (!good) fprintf(stderr, "in pushes of %zu frames\n", piece);
  free(seen.values);
  free(cuts);
  return good;
}

static int replay(const char *stem) {
  file_bytes plan = read_file(stem, ".tide"), frames = read_floats(stem, ".frames"),
             answers = read_floats(stem, ".answers");
  tide_fault fault;
  if (tide_plan_check(plan.data, plan.count, &fault) != TIDE_OK) {
    return fprintf(stderr, "replay: %s: plan refused: %s\n", stem, fault.field), 0;
  }
  int good = 1;
  const size_t count = frames.count / sizeof(float) / plan_read_header(plan.data).input_width;
  const answer wanted = {answers.data, answers.count / sizeof(float)};
  for (size_t i = 0; good && tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (!tide_variant_supported(variant)) continue;
    for (size_t k = 0; good && k < sizeof PIECES / sizeof *PIECES; k++) {
      good = replay_in_pieces(plan.data, variant, frames.data, count, &wanted, PIECES[k]);
    }
  }
  free(plan.data);
  free(frames.data);
  free(answers.data);
  return good;
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: replay VECTOR...\n"), 2;
  for (int i = 1; i < count; i++) {
    if (!replay(arguments[i])) return fprintf(stderr, "replay: %s differs\n", arguments[i]), 1;
  }
  for (size_t i = 0; tide_variant_at(i); i++) {
    const tide_variant *variant = tide_variant_at(i);
    if (tide_variant_supported(variant)) printf("%s: %d vectors equal\n", tide_variant_name(variant), count - 1);
    else printf("%s: not on this processor\n", tide_variant_name(variant));
  }
  return 0;
}
