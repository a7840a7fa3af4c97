/* A plan from a stranger: refused by the name of a field, or run within bounds. */
#ifndef TIDE_TESTS_TRYING_H
#define TIDE_TESTS_TRYING_H

#include "tidegate.h"

/* Makes the plan say its own magic, version, size and hash, as far as it is long enough. */
void repair_plan(void *plan, size_t bytes);

/* Checks the plan. Accepted, it runs on the best variant and on plain C, in exactly the memory that it asks for: frames
 * pushed, a snapshot restored, the same bits on both. Returns 1, or 0 and the fault; anything else ends the program. */
int try_plan(const void *plan, size_t bytes, tide_fault *fault);

#endif
