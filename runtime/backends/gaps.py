"""Gaps: what a stream does where frames were lost."""

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Answer, Chunk, joined_answers
from ..errors import ChunkError
from ..streams import GAPS, Gap, Stream, apart

if TYPE_CHECKING:  # a program that streams a plan does not import contracts
    from ..contract import Contract

BLOCK = 2**12  # frames of zeros that are pushed together


def skip_frames(
    stream: Stream, contract: "Contract", shape: tuple[int, ...], frames: int, policy: Gap
) -> Answer | None:
    """Tell a stream of a gap; see `Stream.skip`.

    Args:
        stream: The stream.
        contract: The contract of its model.
        shape: The sizes of one frame of its model; empty for ids.
        frames: Frames that were lost.
        policy: What to do.
    """
    if policy not in GAPS:
        raise ChunkError(f"policy {policy!r} is unknown, wanted {', '.join(GAPS)}")
    if frames < 0:
        raise ChunkError(f"{frames} frames were lost; wanted 0 or more")
    if policy == "zeros" and (not shape or not prod(shape) or any(piece.ids for piece in contract.pieces)):
        raise ChunkError("a model of token ids, or of any number of features, has no frame of zeros; hold or reset")
    if not frames or policy == "hold":
        return None
    if policy == "zeros":
        timed = {port.name: port.time_axis is not None for port in contract.outputs}
        before = stream.snapshot()
        try:
            return joined_answers([stream.push(chunk) for chunk in _zeros(contract, shape, frames)], timed)
        except BaseException:  # a later block is refused, or there is no memory for the answers
            stream.restore(before)
            raise
    rest = None if stream.finished else stream.finish()
    stream.reset()
    return rest


def _zeros(contract: "Contract", shape: tuple[int, ...], frames: int) -> Iterator[Chunk]:
    for start in range(0, frames, BLOCK):
        yield apart(contract.pieces, np.zeros((min(BLOCK, frames - start), *shape), np.float32))
