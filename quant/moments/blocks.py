"""The backward direction of a layer, run again on observed values: block after block, from its end to its start."""

from dataclasses import replace

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.contract import Contract
from ...runtime.operators import Backward
from ...runtime.program import Program
from ..observing.judge import open_program
from .replay import Replay, replay


def replay_backward(op: Backward, x: Floats, lengths: list[int]) -> Replay:
    """Run a backward layer again. The frames of a block's lookahead count where the block reads them.

    Args:
        op: The layer. Its matrices are float.
        x: Its input, `[frames, segments, width]`; each segment is a whole stream, padded at its end.
        lengths: The frames of each segment.

    Returns:
        The replay. Its values are `[steps, blocks, width]`, in the order in which the layer runs over each block.
    """
    places, answered = _places(op, lengths, x.shape[1])
    there = places >= 0
    read = _taken(x, places)
    made = replay(op.cell, read, _answers(op, read, there.sum(0)), _starts(op, places.shape[1]))

    def back(grad: Floats) -> tuple[Floats, list[Floats]]:
        into, sums = made.back(_taken(grad, np.where(answered, places, -1)))
        found = np.zeros((x.shape[0] * x.shape[1], x.shape[2]), np.float32)
        np.add.at(found, places[there], into[there])
        return found.reshape(x.shape), sums

    return Replay(made.reads, back, places)


def _places(op: Backward, lengths: list[int], segments: int) -> tuple[Array, Array]:
    """Return the place of each step of each block among all frames, -1 for none; and whether the block answers it."""
    columns = []
    for segment, length in enumerate(lengths):
        block = op.blocks.frames or max(length, 1)
        for first in range(0, length, block):
            end = min(first + block + op.blocks.lookahead, length)
            columns.append((np.arange(first, end)[::-1] * segments + segment, min(first + block, length) - first))
    steps = max(len(frames) for frames, _ in columns)
    places, answered = np.full((steps, len(columns)), -1), np.zeros((steps, len(columns)), np.bool_)
    for column, (frames, count) in enumerate(columns):
        places[: len(frames), column] = frames
        answered[len(frames) - count : len(frames), column] = True
    return places, answered


def _taken(values: Floats, places: Array) -> Floats:
    """Return the frames at places, zeros for none."""
    flat = values.reshape(-1, values.shape[-1])
    return np.where(places[..., None] >= 0, flat[places], np.float32(0))


def _answers(op: Backward, read: Floats, lengths: Array) -> Floats:
    """Return the layer's answers to each step, zeros after the last; the engine runs it as a forward layer."""
    program = Program(read.shape[-1], (replace(op.cell, inputs=(0,)),), (("y", 1),))
    stream = open_program(program, Contract((), (), ())).stream()
    made = np.zeros((*read.shape[:2], program.widths[1]), np.float32)
    for column, length in enumerate(lengths):
        stream.reset()
        made[:length, column] = stream.push(np.ascontiguousarray(read[:length, column]))
    return made


def _starts(op: Backward, blocks: int) -> tuple[Floats, ...]:
    """Return zeros for each state of the layer, `[blocks, width]`."""
    return tuple(np.zeros((blocks, len(vector)), np.float32) for vector in op.cell.initial())
