// What becomes of a thread when the interpreter ends.
#ifndef TIDE_BINDING_ENDING_H
#define TIDE_BINDING_ENDING_H

#include <Python.h>

#ifdef __cplusplus
extern "C"
#endif
    /* PyEval_RestoreThread, from which no daemon thread of an interpreter that ends comes back: there it sleeps. */
    void tide_restore_thread(PyThreadState *state);

#endif
