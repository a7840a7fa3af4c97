/* When the frames of a value come.
 *
 * A causal operation makes a frame for each frame that it reads. An operation that looks `delay` frames ahead makes
 * each frame `delay` frames later. A backward cell makes the frames of a block when the block and its lookahead are
 * complete. Such a value has a clock of its own. At every moment of a stream all values of one clock have the same
 * number of frames, and this number follows from the frames that the stream has consumed. */
#ifndef TIDE_CLOCKS_H
#define TIDE_CLOCKS_H

#include <stdint.h>

/* A build for one model needs RAM for its own clocks only. */
#ifndef TIDE_MAX_CLOCKS
#define TIDE_MAX_CLOCKS 64
#endif

enum { MOST_CLOCKS = TIDE_MAX_CLOCKS, NO_CLOCK = UINT32_MAX };

typedef struct tide_clock {
  uint32_t parent; /* the clock whose frames are put into blocks; NO_CLOCK: the input's, frame by frame */
  uint32_t delay;  /* frames that it is behind the parent */
  uint64_t lag;    /* the most frames that it is behind the input */
} tide_clock;

/* The clocks of a model; clock 0 is that of the input. */
typedef struct tide_clocks {
  uint32_t block;     /* frames; 0: the whole stream is one block */
  uint32_t lookahead; /* frames after a block that must be there too */
  uint32_t limit;     /* maximal frames of a stream that is one block; else 0 */
  uint32_t count;     /* clocks in use; MOST_CLOCKS + 1: there were too many */
  tide_clock at[MOST_CLOCKS];
} tide_clocks;

tide_clocks tide_clocks_of(uint32_t block, uint32_t lookahead, uint32_t limit);
/* The clock `delay` frames behind another. */
uint32_t tide_clock_behind(tide_clocks *clocks, uint32_t clock, uint32_t delay);
/* The clock of frames that come in blocks of another clock's frames. */
uint32_t tide_clock_in_blocks(tide_clocks *clocks, uint32_t clock);
/* Whether a clock never has fewer frames than another. */
int tide_clock_leads(const tide_clocks *clocks, uint32_t clock, uint32_t other);
/* Rows of a clock when the stream has consumed `frames` and is not finished. */
uint64_t tide_clock_rows(const tide_clocks *clocks, uint32_t clock, uint64_t frames);

#endif
