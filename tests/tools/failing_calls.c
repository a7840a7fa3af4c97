/* Loaded in front of the C library: the Nth call that changes a file fails, is cut short, or ends the process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

enum { KILL = 1, FULL = 2, SHORT = 3 };

static int countdown, fault;

/* From now on the `call`-th call meets a fault. */
void fail_at(int call, int kind) { countdown = call, fault = kind; }

/* The calls that are still to come before the fault; 0 or less: it has happened. */
int calls_left(void) { return countdown; }

/* Whether this call fails; errno says how. */
static int fails(void) {
  if (!fault || --countdown != 0) return 0;
  if (fault == KILL) kill(getpid(), SIGKILL);
  errno = ENOSPC;
  return fault == FULL;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

ssize_t write(int file, const void *bytes, size_t count) {
  ssize_t (*next)(int, const void *, size_t) = NEXT(ssize_t (*)(int, const void *, size_t), "write");
  if (file <= 2) return next(file, bytes, count);
  if (fails()) return -1;
  return next(file, bytes, fault == SHORT && countdown == 0 ? (count + 1) / 2 : count);
}

int fsync(int file) { return fails() ? -1 : NEXT(int (*)(int), "fsync")(file); }

int fchmod(int file, mode_t mode) { return fails() ? -1 : NEXT(int (*)(int, mode_t), "fchmod")(file, mode); }

int rename(const char *from, const char *to) {
  return fails() ? -1 : NEXT(int (*)(const char *, const char *), "rename")(from, to);
}

int mkdir(const char *path, mode_t mode) {
  return fails() ? -1 : NEXT(int (*)(const char *, mode_t), "mkdir")(path, mode);
}

/* Opening counts if it makes a file. */
int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = va_arg(rest, int);
  va_end(rest);
  if (flags & O_CREAT && fails()) return -1;
  return NEXT(int (*)(const char *, int, ...), "open64")(path, flags, mode);
}
