/* Loaded in front of the C library: the Nth allocation of this thread fails, or several from the Nth on. */
#include <errno.h>
#include <stddef.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static __thread long before, failing;
static __thread int on;

/* The next call of sched_yield() begins: `first` - 1 allocations succeed, `count` fail, and then all succeed again. */
void fail_allocations(long first, long count) { before = first - 1, failing = count; }

/* The allocations that are still to come before the first that fails. */
long allocations_before(void) { return before; }

/* The allocations that have not failed. */
long allocations_left(void) { return failing; }

/* Begins and ends the faults: Python calls it without an allocation of its own. */
int sched_yield(void) { return on = !on, 0; }

static int fails(void) {
  if (!on || !failing || before-- > 0) return 0;
  failing--, before = 0;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }

void *realloc(void *old, size_t size) { return size && fails() ? NULL : __libc_realloc(old, size); }

void *memalign(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
  void *found = memalign(alignment, size);
  if (found) *memory = found;
  return found ? 0 : ENOMEM;
}
