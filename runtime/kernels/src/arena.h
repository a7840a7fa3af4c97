/* Memory that is handed out from front to back. */
#ifndef TIDE_ARENA_H
#define TIDE_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "plan.h"

/* All memory of a model, a stream or a group is one block of its caller, inside of which the address sanitizer would
 * see no bounds. So builds of its tests with this sanitizer define TIDE_RED_ZONES: behind each piece is a zone that
 * nobody may touch, and one row too many is an error. Other builds have no zones, also a program's own with the
 * sanitizer: the folder of a device has room for the pieces alone. */
#ifdef TIDE_RED_ZONES
#include <sanitizer/asan_interface.h>
enum { RED_ZONE = TIDE_ALIGNMENT };
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)(at), (void)(bytes))
enum { RED_ZONE = 0 };
#endif

/* With a NULL base the arena only counts. */
typedef struct tide_arena {
  uint8_t *base;
  size_t used;
} tide_arena;

static inline size_t tide_round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

static inline void *tide_take(tide_arena *arena, size_t bytes) {
  uint8_t *at = arena->base ? arena->base + arena->used : NULL;
  const size_t rounded = tide_round_up(bytes, TIDE_ALIGNMENT);
  if (at) {
    ASAN_UNPOISON_MEMORY_REGION(at, rounded);
    ASAN_POISON_MEMORY_REGION(at + rounded, RED_ZONE);
  }
  arena->used += rounded + RED_ZONE;
  return at;
}

/* Clears memory that an arena has handed out, or will. */
static inline void *tide_clear(void *memory, size_t bytes) {
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
  return memset(memory, 0, bytes);
}

#endif
