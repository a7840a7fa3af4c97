"""The error of a quantized program against the float one, streamed on the engine from the zero state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.backends.native import NativeModel, NativeStream
from ...runtime.contract import Contract
from ...runtime.errors import ChunkError, QuantizationError
from ...runtime.plan.writer import compile_program
from ...runtime.program import Program
from .calibration_streams import Static, Streams


def open_program(program: Program, contract: Contract) -> NativeModel:
    """Return the engine's model of a program; several signals, and the axes of a frame, are one row of features."""
    return NativeModel(compile_program(replace(program, frame=()), replace(contract, pieces=())))


def as_pushed(program: Program, frames: Floats) -> Array:
    """Return frames as `push` takes them."""
    return frames[:, 0].astype(np.int64) if program.ids else frames


@dataclass(frozen=True, eq=False)
class Judge:
    """Streams, and the answers of the float program to them.

    Attributes:
        contract: The contract of the program.
        streams: The streams, each `[frames, features]`.
        counted: For each stream, which frames count.
        exact: For each stream, the float answers by output.
        static: For each stream its static inputs; empty if the model has none.
    """

    contract: Contract
    streams: tuple[Floats, ...]
    counted: tuple[Array, ...]
    exact: tuple[dict[str, Floats], ...]
    static: tuple[Static, ...] = ()

    def errors(self, program: Program) -> dict[str, float]:
        """Return the root mean square error of each output, relative to the root mean square of the float answers.

        Args:
            program: A quantized form of the float program. It answers every frame.
        """
        made = answers(program, self.contract, self.streams, self.static)
        return {
            name: float(np.sqrt(self._energy(made, name) / max(self._energy(None, name), np.finfo(np.float64).tiny)))
            for name, _ in program.outputs
        }

    def error(self, program: Program) -> float:
        """Return the root mean square of the outputs' errors, one number for all."""
        return float(np.sqrt(np.mean(np.square(list(self.errors(program).values())))))

    def _energy(self, made: "tuple[dict[str, Floats], ...] | None", name: str) -> float:
        """Return the sum of squares of an output's error. If `made` is None, return that of the float output."""
        total = 0.0
        for number, (exact, counted) in enumerate(zip(self.exact, self.counted, strict=True)):
            values = exact[name][counted].astype(np.float64)
            total += float(np.sum((values if made is None else made[number][name][counted] - values) ** 2))
        return total


def judge_of(program: Program, contract: Contract, streams: Streams, *, held: bool, frames: int) -> Judge:
    """Return a judge on the held-out frames of the streams, or on the other frames.

    Args:
        program: A float program that answers every frame.
        contract: Its contract.
        streams: The streams.
        held: Whether the held-out frames count, or the others.
        frames: Most frames to stream.
    """
    chosen, counted, static = list[Floats](), list[Array](), list[Static]()
    for number, (stream, out) in enumerate(zip(streams.frames, streams.held, strict=True)):
        counts = (out if held else ~out)[:frames]
        last = int(np.max(np.flatnonzero(counts), initial=-1)) + 1
        if last:
            chosen.append(stream[:last])
            counted.append(counts[:last])
            static.append(streams.static_of(number))
            frames -= last
        if frames <= 0:
            break
    exact = answers(program, contract, chosen, static)
    return Judge(contract, tuple(chosen), tuple(counted), exact, tuple(static))


def answers(
    program: Program, contract: Contract, streams: Sequence[Floats], static: Sequence[Static] = ()
) -> tuple[dict[str, Floats], ...]:
    """Return a program's answers to each stream, by output.

    Raises:
        QuantizationError: The engine refuses a stream, e.g. because a value inside the model leaves its range.
    """
    model, made = open_program(program, contract), []
    for frames, same in zip(streams, static or [{}] * len(streams), strict=True):
        try:
            made.append(whole_answers(program, model.stream(same), frames))
        except ChunkError as error:
            raise QuantizationError(f"calibration: {error}") from None
    return tuple(made)


def whole_answers(program: Program, stream: NativeStream, frames: Floats) -> dict[str, Floats]:
    """Return the answers to a whole stream by output: those of its push and those that a lookahead held back.

    Raises:
        ChunkError: The engine refuses the stream.
    """
    given = [stream.push(as_pushed(program, frames)), stream.finish()]
    listed = [one if isinstance(one, dict) else {program.outputs[0][0]: one} for one in given if one is not None]
    return {name: np.concatenate([one[name] for one in listed]) for name in listed[0]}
