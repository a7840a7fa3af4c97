/* What the test programs share: memory, and a plan run over a stream that is cut into pushes. */
#ifndef TIDE_TESTS_RUNNING_H
#define TIDE_TESTS_RUNNING_H

#include "tidegate.h"

/* So many bytes and no more, filled with 0xA5: what is read before it is written shows. The caller frees it. */
void *aligned_memory(size_t bytes);

/* A file of a path in two parts; without one the program ends. The caller frees it. */
typedef struct file_bytes {
  void *data;
  size_t count;
} file_bytes;

file_bytes read_file(const char *stem, const char *ending);
/* The same for a file of little-endian floats. */
file_bytes read_floats(const char *stem, const char *ending);

/* Every output, then every state vector, one after the other. */
typedef struct answer {
  float *values; /* the caller frees it */
  size_t count;
} answer;

/* Streams `count` frames through a checked plan, pushed up to each of the ascending `cuts` and then to the end.
 * An answer without values: a push was refused. */
answer run_plan(const void *plan, const tide_variant *variant, const float *frames, size_t count, const size_t *cuts,
                size_t cut_count);

/* The same on a model that is there. */
answer run_model(const tide_model *model, const float *frames, size_t count, const size_t *cuts, size_t cut_count);

/* Whether both are the same bits; says on stderr where they first differ. */
int same_bits(const answer *seen, const answer *wanted, const char *variant);

#endif
