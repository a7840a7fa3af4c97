"""Drift: does the error of a quantized program grow with time? It is streamed next to the float one for many steps."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.backends.native import NativeStream
from ...runtime.contract import Contract
from ...runtime.errors import ChunkError
from ...runtime.program import Program
from .calibration_streams import Static, Streams
from .judge import as_pushed, open_program

STEPS = 100_000
LONG, SHORT = 2, 16  # streams that run for all steps, and most streams in total; the others stop early
MOST_PRODUCTS = 2**37  # beyond, one long stream is enough: an LSTM of 1.4 million weights then takes 10 s
SHORT_STEPS = 1000  # of the short streams, which add frames to the first decades
CHUNK = 2000  # frames of a push
PER_DECADE = 5  # spans of the curve


@dataclass(frozen=True)
class StepSpan:
    """Steps of a stream.

    Attributes:
        first: The first step, counted from 1.
        last: The last step.
        error: Root mean square error of all outputs, relative to the root mean square of the float outputs over all
            steps.
        largest: The largest error, relative to the same.
    """

    first: int
    last: int
    error: float
    largest: float


@dataclass(frozen=True)
class Drift:
    """The error of the output against the position in a stream.

    Attributes:
        steps: Steps of the longest streams.
        streams: The number of streams. Two of them (one for a large model) have all steps, the others a thousand.
        repeated: Frames after which the longest held-out stream starts again, state carried; 0: it is long enough.
        decades: The error in steps 1 to 10, 11 to 100, and so on.
        curve: The error in five spans per decade.
    """

    steps: int
    streams: int
    repeated: int
    decades: tuple[StepSpan, ...]
    curve: tuple[StepSpan, ...]


def drift_of(exact: Program, made: Program, contract: Contract, streams: Streams, steps: int = STEPS) -> Drift | None:
    """Stream the held-out frames through both programs; repeat them until all steps are done.

    Args:
        exact: The float program, which answers every frame.
        made: Its quantized form.
        contract: Their contract.
        streams: The streams.
        steps: Steps of the longest streams.

    Returns:
        The errors; None if a value inside a model leaves its range within the first thousand steps, or if a stream
        that is one block may not have so many frames.
    """
    if exact.blocks is not None and exact.blocks.frames is None:
        return None
    held = sorted(_held(streams), key=lambda pair: len(pair[0]), reverse=True)
    edges = _edges(steps)
    found = _Errors(edges, [name for name, _ in exact.outputs])
    models = open_program(exact, contract), open_program(made, contract)
    weights = sum(matrix.codes.size for op in exact.ops for matrix in op.record().matrices)
    longest = LONG if LONG * weights * steps <= MOST_PRODUCTS else 1
    streamed, reached = max(longest, min(SHORT, len(held))), steps
    for number in range(streamed):
        (frames, static), count = held[number % len(held)], reached if number < longest else min(SHORT_STEPS, steps)
        pair = models[0].stream(static), models[1].stream(static)
        at, answered = 0, Counter[str]()
        try:
            for chunk in _repeated(frames, count):
                answers = [_answers(exact, stream, chunk) for stream in pair]
                found.add(answered, *answers)
                answered.update({name: len(values) for name, values in answers[0].items()})
                at += len(chunk)
        except ChunkError:  # an unstable model, streamed for far longer than it was made for
            if at < SHORT_STEPS:
                return None
            reached = min(reached, at)
    curve = found.spans(reached, edges)
    whole = edges[edges <= reached]
    decades = found.spans(reached, np.unique([*whole[np.isin(whole, 10 ** np.arange(1, 12))], whole[-1]]))
    return Drift(reached, streamed, len(held[0][0]) if len(held[0][0]) < reached else 0, decades, curve)


def _held(streams: Streams) -> Iterator[tuple[Floats, Static]]:
    """Give each run of held-out frames, with the static inputs of its stream."""
    for number, (frames, held) in enumerate(zip(streams.frames, streams.held, strict=True)):
        borders = np.flatnonzero(np.diff(np.concatenate([[0], held.astype(np.int8), [0]])))
        for start, stop in borders.reshape(-1, 2):
            yield frames[start:stop], streams.static_of(number)


def _repeated(frames: Floats, count: int) -> Iterator[Floats]:
    """Give `count` frames in chunks, repeating the frames as needed."""
    for start in range(0, count, CHUNK):
        at = np.arange(start, min(start + CHUNK, count)) % len(frames)
        yield np.ascontiguousarray(frames[at])


def _answers(program: Program, stream: NativeStream, chunk: Floats) -> dict[str, Array]:
    answer = stream.push(as_pushed(program, chunk))
    return answer if isinstance(answer, dict) else {program.outputs[0][0]: answer}


def _edges(steps: int) -> Array:
    """Return the last step of each span: 1, 2, 3, 4, 6, 10 and so on."""
    decades = int(np.ceil(np.log10(steps)))
    edges = np.unique(np.round(10 ** (np.arange(decades * PER_DECADE + 1) / PER_DECADE)).astype(np.int64))
    return np.append(edges[edges < steps], steps)


class _Errors:
    """The growing errors of each output by span: squares, maxima and counts; and the float outputs' squares."""

    def __init__(self, edges: Array, names: Sequence[str]) -> None:
        self._edges, self._names = edges, names
        self._squares, self._largest = (np.zeros((len(names), len(edges))) for _ in range(2))
        self._energy, self._values = np.zeros(len(names)), np.zeros(len(names))
        self._counts = np.zeros((len(names), len(edges)))

    def add(self, answered: Mapping[str, int], exact: dict[str, Array], made: dict[str, Array]) -> None:
        """Add answers; `answered` says how many came before them by output."""
        for place, name in enumerate(self._names):
            values = exact[name].astype(np.float64)
            gap = made[name] - values
            spans = np.searchsorted(self._edges, np.arange(answered[name] + 1, answered[name] + len(values) + 1))
            np.add.at(self._squares[place], spans, np.sum(gap**2, 1))
            np.maximum.at(self._largest[place], spans, np.max(np.abs(gap), 1, initial=0.0))
            np.add.at(self._counts[place], spans, values.shape[1])
            self._energy[place] += np.sum(values**2)
            self._values[place] += values.size

    def spans(self, reached: int, ends: Array) -> tuple[StepSpan, ...]:
        """Return the errors of the spans with these ends, up to the step that all long streams reached."""
        power = np.maximum(self._energy / np.maximum(self._values, 1), np.finfo(np.float64).tiny)
        found, first = [], 1
        for end in ends[ends <= reached]:
            mine = (self._edges >= first) & (self._edges <= end)
            mean = self._squares[:, mine].sum(1) / np.maximum(self._counts[:, mine].sum(1), 1)
            largest = np.max(self._largest[:, mine].max(1) / np.sqrt(power))
            found.append(StepSpan(first, int(end), float(np.sqrt(np.mean(mean / power))), float(largest)))
            first = int(end) + 1
        return tuple(found)
