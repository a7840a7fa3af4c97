"""The proof that an exported file streams what the original computes, in onnxruntime on one thread.

This module does not know torch: the original is a function from a signal to named answers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.backends.onnxruntime import OnnxruntimeModel, one_stream
from ...runtime.backends.onnxruntime_session import session_options
from ...runtime.contract import Contract, Port, State
from ...runtime.errors import ExportError
from ...runtime.graph.graph import Graph
from ...runtime.graph.initial_states import initial_states
from ..optional import need
from .signals import FreshData, chunkings, cut, time_axis, time_axis_of_one

Answers = Mapping[str, Array]

CHUNKED_FRAMES = (12, 48)  # fewest and most frames of a chunked signal; answers are compared at each cut
SPOILT_STREAMS = 8  # a spoilt state must change one of them: a ReLU may hide the change in a single stream
LISTED = 5  # chunk sizes listed in a check's name

_FAULT = "the module may answer at random or keep data between calls; else report this as a fault of tidegate"
_SIZES = "the forward may turn a size into a Python number: use x.shape as it is, no int(), len() or item()"
_CHUNKS = (
    "an answer may need more frames than its chunk has (mean, pooling, norm or attention over time); "
    "such a layer cannot be streamed"
)
_STATES = "the answer does not depend on this state, or too little to prove it; check that the state is used"


@dataclass(frozen=True)
class Check:
    """One comparison of a proof.

    Attributes:
        name: What was compared.
        error: Largest absolute difference over the largest absolute value wanted.
        tolerance: The limit of `error`.
        must_differ: Whether `error` must exceed the limit, because a state was spoilt on purpose.
    """

    name: str
    error: float
    tolerance: float
    must_differ: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is on the right side of its limit."""
        return self.error > self.tolerance if self.must_differ else self.error <= self.tolerance


def quiet_session(data: bytes, *, exact_integers: bool = False) -> Any:  # noqa: ANN401  onnxruntime has no types
    """Open an onnxruntime session that prints nothing; failures raise exceptions.

    Args:
        data: The file.
        exact_integers: Let no product of 8-bit integers saturate. On x86 with AVX2 and without VNNI, onnxruntime adds
            two products of uint8 and int8 in 16 bits, and 255 * 127 * 2 does not fit. With this option it multiplies
            uint8 by uint8 in 32 bits there. Other processors are exact without it.
    """
    runtime = need("onnxruntime")
    options = session_options(runtime)
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1" if exact_integers else "0")
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class Runner:
    """An ONNX file in onnxruntime, its states paired by the contract.

    Args:
        data: The file.
        contract: The contract.
        exact_integers: As in `quiet_session`.

    Attributes:
        contract: The contract.
    """

    def __init__(self, data: bytes, contract: Contract, *, exact_integers: bool = False) -> None:
        self.contract = contract
        self._data = data
        need("onnxruntime")  # a missing package is no fault of the file
        try:
            self._session = quiet_session(data, exact_integers=exact_integers)
        except Exception as error:  # onnxruntime has no common class of its own
            raise ExportError(f"onnxruntime cannot load the file: {_first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._initial = initial_states(Graph(onnx.load_from_string(data)), contract)

    def run(self, x: Array, states: Answers | None = None) -> dict[str, Array]:
        """Run one chunk.

        Args:
            x: The chunk, with the axes of the file's signal.
            states: State inputs by name; a state that is not given is the initial one.

        Returns:
            All outputs by name, state outputs among them.

        Raises:
            ExportError: onnxruntime refuses the chunk.
        """
        port = self.contract.inputs[0]
        batch = 1 if port.batch_axis is None else x.shape[port.batch_axis]
        shapes = {state.input: state.concrete_shape(batch) for state in self.contract.states}
        initial = {name: np.broadcast_to(self._initial[name], shape).copy() for name, shape in shapes.items()}
        try:
            answers = self._session.run(self._outputs, {**initial, **(states or {}), port.name: x})
        except Exception as error:
            raise ExportError(f"onnxruntime cannot run the file: {_first_line(error)}") from error
        return dict(zip(self._outputs, answers, strict=True))

    def stream(self, x: Array, chunks: Sequence[int], *, finished: bool = True) -> dict[str, Array]:
        """Return the outputs, time first, of one stream pushed in chunks, with or without its finish()."""
        port = self.contract.inputs[0]
        one = x if port.batch_axis is None else np.take(x, 0, port.batch_axis)
        frames = np.moveaxis(one, time_axis_of_one(port), 0)
        stream = OnnxruntimeModel(Graph(onnx.load_from_string(self._data))).stream()
        pushed = [stream.push(part) for part in np.split(frames, np.cumsum(chunks)[:-1])]
        rest = stream.finish() if finished else None
        answers = [*pushed, *([] if rest is None else [rest])]
        named = [a if isinstance(a, dict) else {self.contract.outputs[0].name: a} for a in answers]
        found = {}
        for output in self.contract.outputs:
            parts = [answer[output.name] for answer in named]
            newest = [part for part in parts if len(part)] or parts
            found[output.name] = newest[-1] if output.time_axis is None else np.concatenate(parts)
        return found

    def first_stream(self, answers: Answers) -> dict[str, Array]:
        """Return the outputs of the first stream of a batch, time first."""
        return {port.name: one_stream(port, answers[port.name]) for port in self.contract.outputs}

    def carried(self, answers: Answers) -> dict[str, Array]:
        """Return the state inputs of the next chunk."""
        return {state.input: answers[state.output] for state in self.contract.states}


@dataclass(frozen=True)
class Proof:
    """The proof of one file against its original.

    Attributes:
        runner: The file.
        original: Returns the original's answers to a whole signal, by the names and in the shapes of the file.
        example: A signal; its values set the scale of the proof's data.
        tolerance: The largest relative error allowed.
        lengths: Whether the original takes signals of other lengths than the example's.
        batches: Whether the original takes other numbers of streams.
        own: Returns the original's answers to chunks, with its own state passed from chunk to chunk; None if it
            cannot.
    """

    runner: Runner
    original: Callable[[Array], Answers]
    example: Array
    tolerance: float
    lengths: bool = True
    batches: bool = True
    own: Callable[[Sequence[Array]], Iterator[Answers]] | None = None

    def run(self) -> tuple[Check, ...]:
        """Run all checks.

        Returns:
            The checks with their measured errors, all passed.

        Raises:
            ExportError: A check failed; the message says which one, where, the value seen and the value wanted.
        """
        fresh = FreshData(self.example, self._port)
        checks = [self._whole("whole, at the example", self.example, _FAULT)]
        checks += [self._whole(*named, _SIZES) for named in self._other_sizes(fresh)]
        signal = fresh(int(np.clip(fresh.length, *CHUNKED_FRAMES)), fresh.batch)
        compare = self._streamed if self.runner.contract.looks_ahead else self._chunked
        chunked = [compare(signal, chunks) for chunks in chunkings(signal.shape[self._time])]
        chunked += self._own(signal)
        # A spoilt state must change the answers more than chunking does; else the checks above could not see it.
        floor = max(10 * max(check.error for check in chunked), 1e-7)
        streams = None if fresh.batch is None else max(fresh.batch, SPOILT_STREAMS) if self.batches else fresh.batch
        shown = fresh(CHUNKED_FRAMES[1], streams)
        own = cut(self.example, self._time, 0, min(fresh.length, CHUNKED_FRAMES[1]))
        return (*checks, *chunked, *self._spoilt([shown, own], floor))

    @property
    def _port(self) -> Port:
        return self.runner.contract.inputs[0]

    @property
    def _time(self) -> int:
        return time_axis(self._port)

    def _other_sizes(self, fresh: FreshData) -> Iterator[tuple[str, Array]]:
        """Yield names and signals, of other lengths and batches than the example's."""
        length, batch = fresh.length, fresh.batch
        for frames, streams in (
            *((n, batch) for n in (1, length // 2 + 1, length + 7) if n != length and self.lengths),
            *((n, m) for n, m in ((length, 1), (length, 3)) if batch not in (None, m) and self.batches),
            *((length + 3, m) for m in (2,) if batch not in (None, m) and self.lengths and self.batches),
        ):
            size = f"length {frames}" + ("" if batch is None else f", batch {streams}")
            own = f"length {length}" + ("" if batch is None else f", batch {batch}")
            yield f"whole, at {size} (example: {own})", fresh(frames, streams)

    def _whole(self, name: str, x: Array, hint: str) -> Check:
        """Compare the file with the original on a whole signal."""
        with _located(name, hint):
            wanted = self.original(x)
            seen = self.runner.run(x)
            errors = [self._compare(key, seen[key], value) for key, value in wanted.items()]
        return Check(name, max(errors), self.tolerance)

    def _chunked(self, x: Array, chunks: Sequence[int]) -> Check:
        """Compare the file in chunks, with carried state, with the file on the whole signal.

        An output with a time axis is compared as a whole. An output without one is compared at the end of each chunk,
        with the answer to the signal up to there. The final states are compared too.
        """
        name = f"in chunks of {_runs(chunks)}"
        states: dict[str, Array] = {}
        pieces: dict[str, list[Array]] = defaultdict(list)
        errors: list[float] = []
        with _located(name, _CHUNKS):
            for end, frames in zip(accumulate(chunks), chunks, strict=True):
                seen = self.runner.run(cut(x, self._time, end - frames, end), states)
                states = self.runner.carried(seen)
                for key, value in seen.items():
                    pieces[key].append(value)
                if end == sum(chunks) or any(port.time_axis is None for port in self.runner.contract.outputs):
                    errors += self._compare_end(pieces, self.runner.run(cut(x, self._time, 0, end)), end)
        return Check(name, max(errors), self.tolerance)

    def _own(self, x: Array) -> Iterator[Check]:
        """Compare the file with the original in the same chunks, each with its own carried state."""
        if self.own is None:
            return
        length, time = x.shape[self._time], self._time
        edges = [0, *sorted({1, length // 3, length}.difference((0,)))]
        chunks = [cut(x, time, start, end) for start, end in pairwise(edges)]
        name, states, errors = "in chunks, against the module with its own state", dict[str, Array](), list[float]()
        with _located(name, _FAULT):
            for chunk, wanted in zip(chunks, self.own(chunks), strict=True):
                seen = self.runner.run(chunk, states)
                states = self.runner.carried(seen)
                errors += [self._compare(key, seen[key], value) for key, value in wanted.items()]
        yield Check(name, max(errors), self.tolerance)

    def _streamed(self, x: Array, chunks: Sequence[int]) -> Check:
        """Compare a stream in chunks with the whole signal; for blocks of fixed size, with one push of the signal."""
        name, blocks = f"streamed in chunks of {_runs(chunks)}", self.runner.contract.blocks
        batch = self._port.batch_axis
        x = x if batch is None else cut(x, batch, 0, 1)
        with _located(name, _CHUNKS):
            seen = self.runner.stream(x, chunks)
            gridded = blocks is not None and blocks.frames is not None
            wanted = self.runner.stream(x, [sum(chunks)]) if gridded else self.runner.first_stream(self.runner.run(x))
            errors = [self._compare(key, value, wanted[key]) for key, value in seen.items()]
            if gridded:  # an answer that needs other blocks than its own differs if one push completes several blocks
                seen, wanted = (self.runner.stream(x, cuts, finished=False) for cuts in (chunks, [sum(chunks)]))
                errors += [self._compare(key, value, wanted[key]) for key, value in seen.items()]
        return Check(name, max(errors), self.tolerance)

    def _compare_end(self, pieces: Mapping[str, Sequence[Array]], wanted: Answers, end: int) -> Iterator[float]:
        """Yield the errors of the chunks so far against the whole signal up to frame `end`."""
        for key, value in wanted.items():
            axis = self._time_axes().get(key)
            seen = pieces[key][-1] if axis is None else np.concatenate(pieces[key], axis)
            yield self._compare(key, seen, value, end)

    def _spoilt(self, signals: Sequence[Array], floor: float) -> Iterator[Check]:
        """Spoil each state in the middle of each signal: the answer must change in at least one signal."""
        found = [self._changes(x) for x in signals if x.shape[self._time] > 1]
        for name in found[0]:
            check = Check(name, max(changes[name] for changes in found), floor, must_differ=True)
            if not check.passed:
                seen = f"the answer changes by {check.error:.2g}, wanted more than {floor:.2g}"
                raise ExportError(f"{name}: {seen}; {_STATES}")
            yield check

    def _changes(self, x: Array) -> dict[str, float]:
        """Return how much each spoilt state changes the answer to the second half of a signal."""
        length = x.shape[self._time]
        half = length // 2
        states = self.runner.carried(self.runner.run(cut(x, self._time, 0, half)))
        # An answer to the last frame changes most after one frame; other answers change in more frames later.
        parts = [cut(x, self._time, half, half + 1), cut(x, self._time, half, length)]
        good = [self.runner.run(part, states) for part in parts]
        changes = {}
        for name, spoilt in _spoil(self.runner.contract.states, states):
            bad = [self.runner.run(part, states | spoilt) for part in parts]
            changes[name] = max(
                peak_error(b[port.name], g[port.name])
                for port in self.runner.contract.outputs
                for b, g in zip(bad, good, strict=True)
            )
        return changes

    def _time_axes(self) -> dict[str, int | None]:
        return {port.name: port.time_axis for port in self.runner.contract.outputs}

    def _compare(self, key: str, seen: Array, wanted: Array, end: int | None = None) -> float:
        """Return the relative error of one output.

        Raises:
            ExportError: The shapes differ, or the error is above the tolerance.
        """
        if seen.shape != wanted.shape:
            raise ExportError(f"output {key!r} has shape {list(seen.shape)}, wanted {list(wanted.shape)}")
        error = peak_error(seen, wanted)
        if error > self.tolerance:
            axis = self._time_axes().get(key)
            index = _first_bad(seen, wanted, axis, self.tolerance)
            frame = (None if end is None else end - 1) if axis is None else index[axis]
            place = f"{list(index)}" + ("" if frame is None else f", frame {frame}")
            raise ExportError(
                f"output {key!r} at {place}: seen {seen[index]:.7g}, wanted {wanted[index]:.7g}; "
                f"error {error:.2g} of the largest value, at most {self.tolerance:.2g} allowed"
            )
        return error


def peak_error(seen: Array, wanted: Array) -> float:
    """Return max|seen - wanted| / max|wanted|; infinite if a difference is not finite or all wanted are 0."""
    difference, largest = _difference(seen, wanted).max(initial=0.0), np.abs(wanted).max(initial=0.0)
    if difference == 0:
        return 0.0
    return float(difference / largest) if np.isfinite(difference) and largest > 0 else float("inf")


def _difference(seen: Array, wanted: Array) -> Array:
    with np.errstate(invalid="ignore"):
        gap = np.abs(seen.astype(np.float64) - wanted.astype(np.float64))
    return np.where(np.isnan(gap), np.inf, gap)


def _first_bad(seen: Array, wanted: Array, axis: int | None, tolerance: float) -> tuple[int, ...]:
    """Return the index of the largest difference in the first frame that is wrong."""
    gap = _difference(seen, wanted)
    if axis is not None:
        gap = np.moveaxis(gap, axis, 0)
        wrong = gap.reshape(len(gap), -1).max(1) > tolerance * np.abs(wanted).max()
        gap[int(np.argmax(wrong)) + 1 :] = -1
        gap[: int(np.argmax(wrong))] = -1
        gap = np.moveaxis(gap, 0, axis)
    return tuple(map(int, np.unravel_index(np.argmax(gap), gap.shape)))


@contextmanager
def _located(name: str, hint: str) -> Iterator[None]:
    """Add the failed check and a likely cause to an ExportError."""
    try:
        yield
    except ExportError as error:
        raise ExportError(f"{name}: {error}; {hint}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _runs(chunks: Sequence[int]) -> str:
    """Return chunk sizes as text: one number if all are equal, else the first LISTED."""
    if len(set(chunks)) == 1:
        return f"{chunks[0]} ({len(chunks)} chunks)"
    more = f", ... ({len(chunks)} chunks)" if len(chunks) > LISTED else ""
    return ", ".join(map(str, chunks[:LISTED])) + more


def _spoil(states: Sequence[State], values: Answers) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield names and spoilt states: each layer and each tail set to zeros, and h and c of each module swapped."""
    for state in states:
        if state.kind == "tail":
            yield f"{state.input} zeroed", {state.input: np.zeros_like(values[state.input])}
            continue
        for layer in range(len(values[state.input])):
            spoilt = values[state.input].copy()
            spoilt[layer] = 0
            yield f"{state.input} zeroed in layer {layer}", {state.input: spoilt}
    modules: dict[str, list[str]] = defaultdict(list)
    for state in states:
        modules[state.input.rpartition(".")[0]].append(state.input)
    for names in modules.values():
        if len(names) == 2 and values[names[0]].shape == values[names[1]].shape:
            a, b = names
            yield f"{a} and {b} swapped", {a: values[b], b: values[a]}
