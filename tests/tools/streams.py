"""Streams through programs: random frames, cuts into pushes, joined answers, and the contract of a program."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeStream
from tidegate.runtime.contract import ZEROS, Contract, Port, State
from tidegate.runtime.operators import (
    HIDDEN,
    Embedding,
)
from tidegate.runtime.program import Program
from tidegate.runtime.reference import ReferenceStream


def contract_of(program: Program) -> Contract:
    """Return a contract that fits a program."""
    outputs = tuple(Port(name, 0 if program.timed(value) else None, None) for name, value in program.outputs)
    states = tuple(
        State(
            slot.name,
            f"{slot.name}.out",
            slot.name.rpartition(".")[2],
            (1, "batch", vector.size),
            f"{slot.name}.0" if slot in program.starts else ZEROS,
        )
        for op in program.ops
        for slot, vector in zip(op.slots, op.initial(), strict=False)
        if slot != HIDDEN
    )
    lags = [clock.lag(program.blocks) for clock in program.clocks]
    lookahead = None if None in lags else max(lag for lag in lags if lag is not None)
    return Contract((Port("x", 0, None),), outputs, states, lookahead, blocks=program.blocks)


def frames_for(program: Program, rng: np.random.Generator, count: int) -> Floats:
    """Return random frames `[frames, features]`, some loud, some quiet, some silent; ids are floats `[frames, 1]`."""
    tables = [op for op in program.ops if isinstance(op, Embedding)]
    if program.ids:
        return rng.integers(0, min(op.rows for op in tables), (count, 1)).astype(np.float32)
    frames = rng.normal(0, 1, (count, program.input_width)).astype(np.float32)
    for scale in (0.0, 1e-30, 1e-18, 1e6, 1e18):
        frames[rng.random(count) < 0.08] *= np.float32(scale)
    frames[rng.random(frames.shape) < 0.1] = 0
    for feature in {op.feature for op in tables}:
        frames[:, feature] = rng.integers(0, min(op.rows for op in tables if op.feature == feature), count)
    return frames


def as_pushed(program: Program, frames: Floats) -> Array:
    """Return frames in the form that a caller pushes: ids as integers `[frames]`."""
    return frames[:, 0].astype(np.int64) if program.ids else frames


def joined(program: Program, answers: Sequence[Mapping[str, Array | None]]) -> dict[str, Array]:
    """Join the answers of several pushes: all frames of an output with a time axis, else the newest answer."""
    found: dict[str, Array] = {}
    for name, value in program.outputs:
        parts = [answer[name] for answer in answers]
        there = [part for part in parts if part is not None and (program.timed(value) or len(part))]
        found[name] = np.concatenate(there) if program.timed(value) else there[-1]
    return found


def whole(stream: ReferenceStream, program: Program, frames: Floats) -> dict[str, Array]:
    """Return the answers of the specification to a whole stream."""
    return joined(program, [stream.push(frames), stream.finish()])


def by_name(program: Program, answer: Array | dict[str, Array]) -> dict[str, Array]:
    """Return an answer by output name; a program with one output answers without a name."""
    return answer if isinstance(answer, dict) else {program.outputs[0][0]: answer}


def push_cut(program: Program, stream: NativeStream, frames: Floats, at: list[int]) -> dict[str, Array]:
    """Push a stream cut at given frames, finish it, and join its answers."""
    answers = [by_name(program, stream.push(as_pushed(program, frames[a:b]))) for a, b in pairwise(at) if b > a]
    rest = stream.finish()
    return joined(program, answers if rest is None else [*answers, by_name(program, rest)])


def cuts(count: int) -> st.SearchStrategy[list[int]]:
    """Draw the frames at which a stream of `count` frames is cut into pushes; some pushes may be empty."""
    return st.lists(st.integers(0, count), max_size=6).map(lambda at: [0, *sorted(at), count])
