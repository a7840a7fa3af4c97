/* Random plans and streams. */
#ifndef TIDE_TESTS_RANDOM_PLAN_H
#define TIDE_TESTS_RANDOM_PLAN_H

#include <stddef.h>
#include <stdint.h>

uint32_t random_below(uint64_t *seed, uint32_t limit);

/* One to three LSTM and Linear layers of 1 to 70 features, at 8 or at 16 bits, each an output. The caller frees it. */
void *random_plan(uint64_t *seed, size_t *bytes);

/* Loud, quiet, silent and one-sided frames. The caller frees them. */
float *random_frames(uint64_t *seed, size_t count, size_t width);

#endif
