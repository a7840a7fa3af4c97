/* Parts of a frame that an operator takes one by one: the first count is the features of a part; 0: all. */
#ifndef TIDE_PART_H
#define TIDE_PART_H

#include "../src/operators.h"

static inline int tide_part_ok(const plan_check *c) {
  const uint32_t part = c->op.counts[0], width = c->in[0].width;
  return part == 0 || (plan_within(c, "part", part, 1, width) && plan_equal(c, "part of the input", width % part, 0));
}

static inline size_t tide_part(const model_op *op) { return op->counts[0] ? op->counts[0] : op->in_widths[0]; }

#endif
