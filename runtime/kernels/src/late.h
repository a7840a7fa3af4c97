/* Operations whose answers come late: what they hold back, and how a refused push is undone. */
#ifndef TIDE_LATE_H
#define TIDE_LATE_H

#include "operators.h"

/* Rows that an operation which holds input `holds` may have to hold, between clocks `in` and `out`. */
uint64_t tide_late_room(const tide_clocks *clocks, uint32_t holds, uint32_t in, uint32_t out);
/* Whether rows that were held stay in place to the end of the stream, so that nothing needs to be saved. */
int tide_late_stays(const tide_clocks *clocks, const model_op *op);
/* Takes room for what an operation holds and makes; it need not be zero. */
void tide_late_lay(tide_arena *arena, const tide_clocks *clocks, const model_op *op, op_state *state);
/* Puts the counts of a late operation where they are when the stream has consumed `frames`. */
void tide_late_count(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames,
                     op_state *state);
/* Rows that an operation holds when the stream has consumed `frames`. */
uint32_t tide_late_held(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames);
/* Saves what running from `frames` on to `next`, or to the end, will overwrite; and puts it back. */
void tide_late_save(const tide_clocks *clocks, const model_op *op, uint64_t next, int closing, op_state *state);
void tide_late_undo(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames,
                    op_state *state);

/* Width of the rows that it holds. */
static inline uint32_t tide_held_width(const model_op *op) { return op->in_widths[op->operator->holds - 1];
}

#endif
