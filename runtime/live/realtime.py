"""What a program may ask of the system so that nothing pauses it: locked memory, priority, a frozen collector."""

import ctypes
import gc
import os
import sys

import numpy as np

from ..streams import Model, apart
from .sources.bytes_of_rows import Note

CURRENT_AND_FUTURE = 1 | 2  # of mlockall
PRIORITY = 10  # of SCHED_FIFO: above all ordinary programs, below the drivers' threads


def prepare(model: Model, chunk: int, note: Note) -> None:
    """Lock the memory of this process, touch what a push needs, raise the priority, and freeze the collector.

    What the system refuses is a note with the way out, and the stream runs without it.

    Args:
        model: The model; a stream of its own takes one chunk of zeros.
        chunk: Frames of a push.
        note: Takes what was refused.
    """
    if (why := _lock()) is not None:
        note("memory is not locked", f"memory is not locked ({why}); allow it: ulimit -l unlimited")
    if (why := _hurry()) is not None:
        note("priority is not raised", f"priority is not raised ({why}); allow it: ulimit -r {PRIORITY}")
    if all(model.frame_shape) and model.frame_shape:
        zeros = np.zeros((chunk, *model.frame_shape), np.float32)
        model.stream().push(apart(model.contract.pieces, zeros))
    gc.collect()
    gc.freeze()


def _lock() -> str | None:
    """Lock all memory, also what comes later; return why not."""
    if not sys.platform.startswith("linux"):
        return "only on Linux"
    libc = ctypes.CDLL(None, use_errno=True)
    return os.strerror(ctypes.get_errno()) if libc.mlockall(CURRENT_AND_FUTURE) else None


def _hurry() -> str | None:
    """Run before all ordinary programs; return why not."""
    if not hasattr(os, "sched_setscheduler"):
        return "only on Linux"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        return error.strerror or str(error)
    return None
