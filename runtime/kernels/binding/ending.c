/* Before Python 3.14 an interpreter that ends stops its daemon threads by pthread_exit, which unwinds their frames. It
 * may not reach frames of C++: a destructor would end the process, and the C++ library inside a wheel reads the
 * unwinder of glibc wrongly. In C a handler of pthread_exit is found without unwinding further, so this file is not
 * C++. */
#include "ending.h"

#ifdef _WIN32

void tide_restore_thread(PyThreadState *state) { PyEval_RestoreThread(state); } /* threads end without unwinding */

#else

#include <pthread.h>
#include <unistd.h>

static void sleep_until_the_process_ends(void *unused) {
  (void)unused;
  for (;;) pause();
}

void tide_restore_thread(PyThreadState *state) {
  pthread_cleanup_push(sleep_until_the_process_ends, NULL);
  PyEval_RestoreThread(state);
  pthread_cleanup_pop(0);
}

#endif
