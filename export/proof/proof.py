"""The proof that an exported file streams what the original computes, in onnxruntime on one thread.

This module does not know torch: the original is a function from a signal to named answers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from ...runtime.arrays import Array
from ...runtime.contract import Port, State
from ...runtime.errors import ExportError
from .comparison import Check, first_bad, peak_error
from .runner import Answers, Runner
from .signals import FreshData, chunkings, cut, time_axis

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
            index = first_bad(seen, wanted, axis, self.tolerance)
            frame = (None if end is None else end - 1) if axis is None else index[axis]
            place = f"{list(index)}" + ("" if frame is None else f", frame {frame}")
            raise ExportError(
                f"output {key!r} at {place}: seen {seen[index]:.7g}, wanted {wanted[index]:.7g}; "
                f"error {error:.2g} of the largest value, at most {self.tolerance:.2g} allowed"
            )
        return error


@contextmanager
def _located(name: str, hint: str) -> Iterator[None]:
    """Add the failed check and a likely cause to an ExportError."""
    try:
        yield
    except ExportError as error:
        raise ExportError(f"{name}: {error}; {hint}") from error


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
