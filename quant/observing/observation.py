"""Observing a float program: every value of every frame, as the engine computes it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.backends.native import NativeStream
from ...runtime.contract import Contract
from ...runtime.errors import ChunkError, QuantizationError
from ...runtime.operators import Last, LastCell, Slice
from ...runtime.program import Program
from .calibration_streams import Streams
from .judge import as_pushed, open_program, whole_answers
from .layers import looks_ahead

SEGMENT = 1024  # frames; gradients go back to the start of a segment


@dataclass(frozen=True, eq=False)
class Segment:
    """Some frames of a stream.

    Attributes:
        values: Every value of the program, the input first, float32 `[frames, width]`.
        starts: The states of each operation before the first frame.
        used: float32 `[frames]`: 1 for a frame to calibrate on, 0 if it is held out.
    """

    values: tuple[Floats, ...]
    starts: tuple[tuple[Floats, ...], ...]
    used: Floats


def every_frame(program: Program) -> Program:
    """Return a program that answers every frame, even if the model answers only the last frame of a push.

    Outputs that hold the final c of a layer are left out: the engine gives it only for the last frame of a push.

    Raises:
        QuantizationError: The model answers with nothing else.
    """
    widths, of_c = program.widths, _of_final_c(program)
    kept = [1 if value in of_c else widths[op.inputs[0]] for value, op in enumerate(program.ops, 1)]
    ops = tuple(
        Slice(op.inputs[:1], 0, kept[index]) if index + 1 in of_c or isinstance(op, Last) else op
        for index, op in enumerate(program.ops)
    )
    outputs = tuple((name, value) for name, value in program.outputs if value not in of_c)
    if not outputs:
        raise QuantizationError(
            "calibration: the model answers with the final c of a layer, which the engine gives only for the last "
            "frame of a push; quantize without calibration, or answer with h"
        )
    return replace(program, ops=ops, outputs=outputs, shapes={})


def _of_final_c(program: Program) -> set[int]:
    """Return the values that are made of the final c of a layer."""
    found: set[int] = set()
    for value, op in enumerate(program.ops, 1):
        if isinstance(op, LastCell) or found.intersection(op.inputs):
            found.add(value)
    return found


def observe(program: Program, contract: Contract, streams: Streams, seen: Callable[[int], None]) -> list[Segment]:
    """Stream through a float program and keep every value.

    Args:
        program: A program that answers every frame, from `every_frame`.
        contract: Its contract.
        streams: The streams.
        seen: Called with the number of frames done since the last call.

    Raises:
        QuantizationError: A value inside the model is not finite.
    """
    everything = tuple((str(value), value) for value in range(1, len(program.ops) + 1))
    program = replace(program, outputs=everything)
    model = open_program(program, contract)
    cut = _whole if looks_ahead(program) else _segments
    found: list[Segment] = []
    for number, (frames, held) in enumerate(zip(streams.frames, streams.held, strict=True)):
        found += cut(model.stream(streams.static_of(number)), program, frames, held, seen)
    return found


def _whole(
    stream: NativeStream, program: Program, frames: Floats, held: Array, seen: Callable[[int], None]
) -> Iterator[Segment]:
    """Give a stream as one segment: after its end, every value has as many frames as the input."""
    try:
        answer = whole_answers(program, stream, frames)
    except ChunkError as error:
        raise QuantizationError(f"calibration: {error}") from None
    seen(len(frames))
    pairs = zip(program.ops, program.initial(), strict=True)
    starts = tuple(tuple(np.asarray(vector) for vector in state[: len(op.slots)]) for op, state in pairs)
    yield Segment((frames, *(answer[name] for name, _ in program.outputs)), starts, 1 - held.astype(np.float32))


def _segments(
    stream: NativeStream, program: Program, frames: Floats, held: Array, seen: Callable[[int], None]
) -> Iterator[Segment]:
    counts = [len(op.slots) for op in program.ops]
    for at in range(0, len(frames), SEGMENT):
        chunk = frames[at : at + SEGMENT]
        flat = iter([vector.copy() for vector in stream.states()])
        starts = tuple(tuple(next(flat) for _ in range(count)) for count in counts)
        try:
            answer = stream.push(as_pushed(program, chunk))
        except ChunkError as error:
            raise QuantizationError(f"calibration: {error}") from None
        made = [answer[name] for name, _ in program.outputs] if isinstance(answer, dict) else [answer]
        seen(len(chunk))
        yield Segment((chunk, *made), starts, 1 - held[at : at + SEGMENT].astype(np.float32))
