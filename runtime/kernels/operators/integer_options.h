/* The options of recurrent cells in integers: the function has flags, the first count is the clip of the sums of gates
 * and candidate, 0 for none. */
#ifndef TIDE_INTEGER_OPTIONS_H
#define TIDE_INTEGER_OPTIONS_H

#include "integer_cell.h"

enum { COUPLED = 1, RESET_FIRST = 2, PEEPHOLES = 4 }; /* as in cell_options.h */
enum { CLIP, PEEPHOLE_EXPONENT };                     /* counts */

/* The flags are some of these, all of `needed`; the clip is a sum. */
static inline int integer_options_ok(const plan_check *c, uint32_t flags, uint32_t needed) {
  const uint32_t seen = c->op.function;
  return plan_equal(c, "options", seen, (seen & flags) | needed) &&
         plan_within(c, "clip", c->op.counts[CLIP], 0, MOST_SUM);
}

static inline int32_t integer_clipped(const model_op *op, int32_t sum) {
  const int32_t clip = (int32_t)op->counts[CLIP];
  return clip ? tide_clipped(sum, clip) : sum;
}

#endif
