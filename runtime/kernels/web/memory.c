/* The memory of a module: blocks that JavaScript takes and gives back, and what compilers call to copy bytes. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tidegate.h"
#include "web.h"

/* memory.copy and memory.fill are instructions, so these do not call themselves. */
void *(memcpy)(void *restrict to, const void *restrict from, size_t bytes) { return __builtin_memcpy(to, from, bytes); }
void *(memmove)(void *to, const void *from, size_t bytes) { return __builtin_memmove(to, from, bytes); }
void *(memset)(void *to, int value, size_t bytes) { return __builtin_memset(to, value, bytes); }

int memcmp(const void *one, const void *other, size_t bytes) {
  const unsigned char *a = one, *b = other;
  for (size_t i = 0; i < bytes; i++) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

/* Free blocks by ascending address. A block starts with this head, and its bytes follow, both on a cache line. */
typedef struct block {
  size_t bytes; /* with the head, a multiple of TIDE_ALIGNMENT */
  struct block *next;
} block;

enum { HEAD = TIDE_ALIGNMENT, PAGE = 65536 };
extern unsigned char __heap_base; /* the linker's: where memory is free */
static block *first;
static uintptr_t end; /* of the memory that blocks were made of */

static void join(block *lower, block *upper) {
  if ((uintptr_t)lower + lower->bytes != (uintptr_t)upper) return;
  lower->bytes += upper->bytes;
  lower->next = upper->next;
}

static void put(block *given) {
  block **place = &first, *before = NULL;
  while (*place && *place < given) before = *place, place = &before->next;
  given->next = *place;
  *place = given;
  if (given->next) join(given, given->next);
  if (before) join(before, given);
}

/* Asks the browser for pages, so that there is a free block of so many bytes at the end. */
static int grow(size_t bytes) {
  if (!end) end = ((uintptr_t)&__heap_base + TIDE_ALIGNMENT - 1) / TIDE_ALIGNMENT * TIDE_ALIGNMENT;
  const size_t there = __builtin_wasm_memory_size(0);
  const uint64_t wanted = ((uint64_t)end + bytes + PAGE - 1) / PAGE;
  if (wanted > 65535) return 0;
  if (wanted > there && __builtin_wasm_memory_grow(0, (size_t)wanted - there) == SIZE_MAX) return 0;
  block *more = (block *)end;
  more->bytes = bytes;
  end += bytes;
  put(more);
  return 1;
}

void *web_take(size_t bytes) {
  if (bytes > SIZE_MAX - HEAD - TIDE_ALIGNMENT) return NULL;
  const size_t wanted = HEAD + (bytes + TIDE_ALIGNMENT - 1) / TIDE_ALIGNMENT * TIDE_ALIGNMENT;
  for (int grown = 0;; grown = 1) {
    for (block **place = &first; *place; place = &(*place)->next) {
      block *found = *place;
      if (found->bytes < wanted) continue;
      *place = found->next;
      if (found->bytes > wanted) {
        block *rest = (block *)((uintptr_t)found + wanted);
        rest->bytes = found->bytes - wanted;
        found->bytes = wanted;
        put(rest);
      }
      return (unsigned char *)found + HEAD;
    }
    if (grown || !grow(wanted)) return NULL;
  }
}

void web_give(void *bytes) {
  block *given = (block *)((unsigned char *)bytes - HEAD);
  memset(bytes, 0, given->bytes - HEAD); /* a stream's state is not for the next owner */
  put(given);
}

size_t web_free(void) {
  size_t sum = 0;
  for (const block *one = first; one; one = one->next) sum += one->bytes;
  return sum;
}
