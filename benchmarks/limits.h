/* What one core can do at most with the instruction set of a variant: read bytes, and multiply and add. */
#ifndef TIDE_LIMITS_H
#define TIDE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

enum { LIMIT_BLOCK = 256 }; /* `read` reads whole blocks of bytes, the first at a multiple of 64 */

typedef struct tide_limits {
  const char *variant;
  const char *peak; /* what multiplies, as notes say it */
  int64_t (*read)(const uint8_t *p, size_t bytes);
  void (*multiply)(uint32_t loops); /* independent sums, nothing loaded or widened */
  uint32_t macs;                    /* multiply-adds of a loop */
  uint32_t planes;                  /* passes over the weights that codes of 16 bits take */
} tide_limits;

/* The limits of a variant that this program can run on; NULL: none has its name. */
const tide_limits *tide_limits_of(const char *variant);

#endif
