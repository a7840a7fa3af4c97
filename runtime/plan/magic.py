"""Recognizing a plan, and finding its text; docs/plan.md is the specification.

To load a plan only this module is imported. The writer would need every operator.
"""

import os
import struct

MAGIC = b"TIDEGATE"
FLAGS_AT = 12  # the position of the flags, u32
STARTS, SHAPES = 1, 2  # the flags of a plan with initial states, and of one whose text gives the shapes of answers
TEXT_AT = 88  # the position of offset and size, u64 each


def is_plan(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a plan, by its first bytes; False if there is no file."""
    from pathlib import Path

    source = Path(path)
    if not source.is_file():
        return False
    with source.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def text_of(plan: bytes) -> bytes:
    """Return the text of a plan that the engine has checked; `text.read_text` reads it."""
    at, size = struct.unpack_from("<QQ", plan, TEXT_AT)
    return plan[at : at + size]


def has_shapes(plan: bytes) -> bool:
    """Return whether the text of a plan that the engine has checked gives the shapes of answers."""
    return bool(_flags(plan) & SHAPES)


def has_starts(plan: bytes) -> bool:
    """Return whether a plan that the engine has checked has states that do not start from zeros."""
    return bool(_flags(plan) & STARTS)


def _flags(plan: bytes) -> int:
    (flags,) = struct.unpack_from("<I", plan, FLAGS_AT)
    return int(flags)
