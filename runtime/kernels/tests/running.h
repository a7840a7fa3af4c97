/* What the test programs share: memory, and a plan run over a stream that is cut into pushes. */
#ifndef TIDE_TESTS_RUNNING_H
#define TIDE_TESTS_RUNNING_H

#include <stdlib.h>

#include "tidegate.h"

/* Windows has no posix_memalign, and frees what it aligns in another way: there these programs give nothing back. */
#ifdef _WIN32
#include <malloc.h>
#define free(memory) ((void)(memory))
#define posix_memalign(memory, alignment, bytes) (*(memory) = _aligned_malloc(bytes, alignment), !*(memory))
#endif

/* Exactly `bytes` bytes, filled with 0xA5, so that a read before the first write shows. The caller frees them. */
void *aligned_memory(size_t bytes);

/* The file at a path in two parts; if there is none the program ends. The caller frees it. */
typedef struct file_bytes {
  void *data;
  size_t count;
} file_bytes;

file_bytes read_file(const char *stem, const char *ending);
/* A file of little-endian floats, read in the same way. */
file_bytes read_floats(const char *stem, const char *ending);

/* Every output, then every state vector, one after another. */
typedef struct answer {
  float *values; /* the caller frees it */
  size_t count;
} answer;

/* Streams `count` frames through a checked plan, pushed up to each of the ascending `cuts` and then to the end.
 * An answer without values: a push was refused. */
answer run_plan(const void *plan, const tide_variant *variant, const float *frames, size_t count, const size_t *cuts,
                size_t cut_count);

/* As run_plan, on a model that was made before. */
answer run_model(const tide_model *model, const float *frames, size_t count, const size_t *cuts, size_t cut_count);

/* Whether both have the same bits; prints to stderr where they differ first. */
int same_bits(const answer *seen, const answer *wanted, const char *variant);

#endif
