/* Operations whose answers come late: what they hold back, and how a refused push is undone. */
#ifndef TIDE_LATE_H
#define TIDE_LATE_H

#include "operators.h"

/* Rows that an operation may have to hold back of its input `holds`, which has clock `in`; its own clock is `out`. */
uint64_t tide_late_room(const tide_clocks *clocks, uint32_t holds, uint32_t in, uint32_t out);
/* Whether held rows stay in place until the end of the stream, so that nothing has to be saved. */
int tide_late_stays(const tide_clocks *clocks, const model_op *op);
/* Takes memory for the rows that an operation holds and makes; it need not be cleared. */
void tide_late_lay(tide_arena *arena, const tide_clocks *clocks, const model_op *op, op_state *state);
/* Sets the counts of a late operation to what they are after `frames` consumed frames. */
void tide_late_count(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames,
                     op_state *state);
/* Rows that an operation holds after `frames` consumed frames. */
uint32_t tide_late_held(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames);
/* Save what the run up to frame `next`, or to the end with `closing`, will overwrite; and restore it, as it was after
 * `frames`. */
void tide_late_save(const tide_clocks *clocks, const model_op *op, uint64_t next, int closing, op_state *state);
void tide_late_undo(const tide_clocks *clocks, const model_op *ops, const model_op *op, uint64_t frames,
                    op_state *state);

/* Width of the rows that an operation holds. */
static inline uint32_t tide_held_width(const model_op *op) { return op->in_widths[op->operator->holds - 1];
}

#endif
