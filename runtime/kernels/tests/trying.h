/* A plan from a stranger: refused by the name of a field, or run within bounds. */
#ifndef TIDE_TESTS_TRYING_H
#define TIDE_TESTS_TRYING_H

#include "tidegate.h"

/* Writes the correct magic, version, size and hash into the plan, as far as it is long enough. */
void repair_plan(void *plan, size_t bytes);

/* Checks the plan. If it is accepted it runs on the best variant and on plain C, in exactly the memory that it asks
 * for: frames are pushed, a snapshot is restored, and both give the same bits. Returns 1, or 0 and the fault. Anything
 * else ends the program. */
int try_plan(const void *plan, size_t bytes, tide_fault *fault);

#endif
