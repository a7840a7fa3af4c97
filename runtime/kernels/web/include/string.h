/* What the engine needs of the C library. As builtins: a compiler for a machine without a library may else call a
 * function for each load of a vector (clang 20 does, even with -fbuiltin: A takes 20 us in place of 8). */
#ifndef TIDE_WEB_STRING_H
#define TIDE_WEB_STRING_H

#include <stddef.h>

/* web/memory.c has the functions, which compilers call for what is not a few bytes. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);

#define memcpy(to, from, bytes) __builtin_memcpy(to, from, bytes)
#define memmove(to, from, bytes) __builtin_memmove(to, from, bytes)
#define memset(to, value, bytes) __builtin_memset(to, value, bytes)

#endif
