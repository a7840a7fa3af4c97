#include "clocks.h"

tide_clocks tide_clocks_of(uint32_t block, uint32_t lookahead, uint32_t limit) {
  tide_clocks clocks = {.block = block, .lookahead = lookahead, .limit = limit, .count = 1};
  clocks.at[0] = (tide_clock){.parent = NO_CLOCK};
  return clocks;
}

static uint32_t found_or_added(tide_clocks *clocks, tide_clock clock) {
  for (uint32_t i = 0; i < clocks->count && i < MOST_CLOCKS; i++) {
    if (clocks->at[i].parent == clock.parent && clocks->at[i].delay == clock.delay) return i;
  }
  if (clocks->count >= MOST_CLOCKS) {
    clocks->count = MOST_CLOCKS + 1;
    return 0;
  }
  clocks->at[clocks->count] = clock;
  return clocks->count++;
}

uint32_t tide_clock_behind(tide_clocks *clocks, uint32_t clock, uint32_t delay) {
  tide_clock made = clocks->at[clock];
  made.delay += delay, made.lag += delay;
  return found_or_added(clocks, made);
}

uint32_t tide_clock_in_blocks(tide_clocks *clocks, uint32_t clock) {
  const uint64_t held = clocks->block ? (uint64_t)clocks->block + clocks->lookahead - 1 : clocks->limit;
  return found_or_added(clocks, (tide_clock){.parent = clock, .lag = clocks->at[clock].lag + held});
}

int tide_clock_leads(const tide_clocks *clocks, uint32_t clock, uint32_t other) {
  const tide_clock *own = &clocks->at[clock], *of = &clocks->at[other];
  while (of->parent != own->parent) {
    if (of->parent == NO_CLOCK) return 0;
    of = &clocks->at[of->parent];
  }
  return own->delay <= of->delay;
}

/* Rows in all complete blocks once there are `rows` rows. */
static uint64_t in_blocks(const tide_clocks *clocks, uint64_t rows) {
  if (!clocks->block || rows < clocks->lookahead) return 0;
  return (rows - clocks->lookahead) / clocks->block * clocks->block;
}

uint64_t tide_clock_rows(const tide_clocks *clocks, uint32_t clock, uint64_t frames) {
  const tide_clock *own = &clocks->at[clock];
  if (own->parent != NO_CLOCK) frames = in_blocks(clocks, tide_clock_rows(clocks, own->parent, frames));
  return frames > own->delay ? frames - own->delay : 0;
}
