"""The library that makes allocations fail, and a child process that meets the fault."""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NEVER = 2**62


class Shim:
    """The library in front of the C library."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._fail, self._left = library.fail_allocations, library.allocations_left
        self._before = library.allocations_before
        self._fail.argtypes = [ctypes.c_long, ctypes.c_long]
        self._left.restype = self._before.restype = ctypes.c_long

    @contextmanager
    def failing(self, first: int, count: int) -> Iterator[None]:
        """Let `first` - 1 allocations succeed, then `count` fail."""
        self._fail(first, count)
        os.sched_yield()
        try:
            yield
        finally:
            os.sched_yield()

    def count(self, call: Callable[[], object]) -> int:
        """Return the number of allocations of a call."""
        with self.failing(NEVER, 1):
            call()
        return NEVER - 1 - int(self._before())

    def met(self, count: int) -> bool:
        """Return whether one of the `count` allocations failed."""
        return bool(self._left() < count)


def in_child(work: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
    """Return what a function gives in a child process, or the signal that ended the child."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return tuple(json.loads(said)) if said else (str(status), True)
