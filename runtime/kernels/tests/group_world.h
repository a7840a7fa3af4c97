/* A group, and next to it the same streams on their own: what groups.c compares. */
#ifndef TIDE_TESTS_GROUP_WORLD_H
#define TIDE_TESTS_GROUP_WORLD_H

#include "tidegate.h"

enum { MOST_FRAMES = 24, MOST_ROWS = 256 };

/* A group, and for each row the same stream on its own. */
typedef struct world {
  uint64_t seed;
  const tide_model *model;
  uint32_t rows;
  uint8_t *memory;
  size_t bytes;
  tide_group *group;
  tide_stream *alone[MOST_ROWS];
  /* Of the current push. */
  size_t floats; /* floats of all outputs of one row */
  float *frames, *answers, *expected;
  float **outputs;
  uint8_t *snapshot;
} world;

/* A world of new streams, and memory for pushes of up to MOST_FRAMES frames. free_world frees all of it. */
world new_world(const tide_model *model, uint32_t rows, uint64_t seed);
void free_world(const world *w);

/* Whether more rows never take less memory: where addresses have 32 bits, a size that wrapped would be small again. */
int more_rows_take_no_less(const tide_model *model);

#endif
