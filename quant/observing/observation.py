"""Observing a float program: every value of every frame, as the engine computes it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.backends.native import NativeModel
from ...runtime.contract import Contract
from ...runtime.errors import ChunkError, QuantizationError
from ...runtime.operators import Last, LastCell, Slice
from ...runtime.program import Program
from .calibration_streams import Streams
from .judge import as_pushed, open_program

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

    Raises:
        QuantizationError: The model answers with the final c of a layer.
    """
    if any(isinstance(op, LastCell) for op in program.ops):
        raise QuantizationError(
            "calibration: the model answers with the final c of a layer, which the engine gives only for the last "
            "frame of a push; quantize without calibration, or answer with h"
        )
    widths = program.widths
    ops = tuple(Slice(op.inputs, 0, widths[op.inputs[0]]) if isinstance(op, Last) else op for op in program.ops)
    return replace(program, ops=ops)


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
    pairs = zip(streams.frames, streams.held, strict=True)
    return [segment for frames, held in pairs for segment in _segments(model, program, frames, held, seen)]


def _segments(
    model: NativeModel, program: Program, frames: Floats, held: Array, seen: Callable[[int], None]
) -> Iterator[Segment]:
    stream, counts = model.stream(), [len(op.slots) for op in program.ops]
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
