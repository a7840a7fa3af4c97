"""The proof that an exported file streams what the original computes, in onnxruntime on one thread.

This module does not know torch: the original is a function from a signal to named answers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from ...runtime.arrays import Array
from ...runtime.backends.onnxruntime_stream import one_stream
from ...runtime.contract import Port, State, features_of_ids
from ...runtime.errors import ExportError
from ...runtime.streams import Model
from .comparison import Answer, Check, Judge, Measured, RoundingError, UnfiniteError, peak_error, with_dropped_axes
from .loaded import Loaded
from .runner import Answers, Runner
from .signals import FreshData, chunkings, cut, time_axis
from .streaming import Streamed, graph_axes, one_of, stream

CHUNKED_FRAMES = (12, 48)  # fewest and most frames of a chunked signal; answers are compared at each cut
SPOILT_STREAMS = 8  # a spoilt state must change one of them: a ReLU may hide the change in a single stream
COARSENESS = 100.0  # of 16-bit activations on the engine: their error may be 1e-3 of the largest value; seen: 5e-5
LISTED = 5  # chunk sizes listed in a check's name

_FAULT = "the module may answer at random or keep data between calls; else report this as a fault of tidegate"
_WHOLE = (  # a loop was traced on fewer frames than the example has
    "the module may answer at random, keep data between calls, or turn a size into a Python number: use x.shape as it "
    "is, no int(), len() or item(); else report this as a fault of tidegate"
)
_SIZES = "the forward may turn a size into a Python number: use x.shape as it is, no int(), len() or item()"
_CHUNKS = (
    "an answer may need more frames than its chunk has (mean, pooling, norm or attention over time); "
    "such a layer cannot be streamed"
)
_STATES = (
    "the answer does not depend on this state, or too little to prove it; check that the state is used, and if the "
    "module decides (argmax, a comparison), answer what it decides on: decide on what the stream returns"
)


@dataclass(frozen=True)
class Proof:
    """The proof of one file against its original.

    Attributes:
        runner: The file.
        original: Returns the original's answers to a whole signal, by the names and in the shapes of the file.
        example: A signal; its values set the scale of the proof's data.
        judge: Compares the answers.
        loaded: The file as its user loads it.
        lengths: Whether the original takes signals of other lengths than the example's.
        batches: Whether the original takes other numbers of streams.
        own: Returns the original's answers to chunks, with its own state passed from chunk to chunk; None if it
            cannot.
        data: Signals of one stream, with the axes of the file, on which the answers are compared too.
    """

    runner: Runner
    original: Callable[[Array], Answers]
    example: Array
    judge: Judge
    loaded: Loaded
    lengths: bool = True
    batches: bool = True
    own: Callable[[Sequence[Array]], Iterator[Answers]] | None = None
    data: Sequence[Array] = ()

    def run(self) -> tuple[Check, ...]:
        """Run all checks.

        Returns:
            The checks with their measured errors, all passed.

        Raises:
            ExportError: A check failed; the message says which one, where, the value seen and the value wanted.
        """
        fresh = FreshData(self.example, self._port, features_of_ids(self.runner.contract.pieces))
        example = "whole, at the example", self.example, _WHOLE
        sized = [example, *((*named, _SIZES) for named in self._other_sizes(fresh))]
        checks = self.judge.proving([self._whole(name, [x], hint) for name, x, hint in sized])
        checks += self.judge.proving(self._on_data()) if self.data else []
        signal = fresh(int(np.clip(fresh.length, *CHUNKED_FRAMES)), fresh.batch)
        compare = self._streamed if self.runner.contract.looks_ahead else self._chunked
        cuts = [compare(signal, chunks) for chunks in chunkings(signal.shape[self._time])]
        loaded = self._as_loaded([self._one(signal if self.lengths else self.example)])
        chunked = self.judge.proving([*cuts, *self._own(signal), *loaded])
        # A spoilt state must change the answers more than chunking does; else the comparison of cuts could not see it.
        apart = [check for check in cuts if check is not None] or chunked
        floor = max(10 * max(check.error for check in apart), 1e-7)
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

    def _on_data(self) -> Iterator[Check | None]:
        """Compare the answers to the caller's data: of the file on the whole, and on each backend frame by frame."""
        yield self._whole("whole, on the data", self.data, _FAULT)
        yield from self._as_loaded(self.data, ", on the data", on_the_way=False)

    def _whole(self, name: str, signals: Sequence[Array], hint: str) -> Check | None:
        """Compare the file with the original on whole signals."""
        found: list[Measured] = []
        with _located(name, hint):
            for x in signals:
                seen = self.runner.run(x)
                found += [self._compare(key, seen[key], value, x) for key, value in self.original(x).items()]
            return self.judge.check(name, found)

    def _chunked(self, x: Array, chunks: Sequence[int]) -> Check | None:
        """Compare the file in chunks, with carried state, with the file on the whole signal.

        An output with a time axis is compared as a whole. An output without one is compared at the end of each chunk,
        with the answer to the signal up to there. The final states are compared too.
        """
        name = f"in chunks of {_runs(chunks)}"
        states: dict[str, Array] = {}
        pieces: dict[str, list[Array]] = defaultdict(list)
        found: list[Measured] = []
        with _located(name, _CHUNKS):
            for end, frames in zip(accumulate(chunks), chunks, strict=True):
                seen = self.runner.run(cut(x, self._time, end - frames, end), states)
                states = self.runner.carried(seen)
                for key, value in seen.items():
                    pieces[key].append(value)
                if end == sum(chunks) or any(port.time_axis is None for port in self.runner.contract.outputs):
                    found += self._compare_end(pieces, cut(x, self._time, 0, end))
            return self.judge.check(name, found)

    def _own(self, x: Array) -> Iterator[Check | None]:
        """Compare the file with the original in the same chunks, each with its own carried state."""
        if self.own is None:
            return
        length, time = x.shape[self._time], self._time
        edges = [0, *sorted({1, length // 3, length}.difference((0,)))]
        chunks = [cut(x, time, start, end) for start, end in pairwise(edges)]
        name, states, found = "in chunks, against the module with its own state", dict[str, Array](), list[Measured]()
        with _located(name, _FAULT):
            for (start, end), chunk, wanted in zip(pairwise(edges), chunks, self.own(chunks), strict=True):
                seen = self.runner.run(chunk, states)
                states = self.runner.carried(seen)
                past = cut(x, time, 0, end)
                found += [self._compare(key, seen[key], value, past, start) for key, value in wanted.items()]
            checked = self.judge.check(name, found)
        yield checked

    def _streamed(self, x: Array, chunks: Sequence[int]) -> Check | None:
        """Compare a stream in chunks with the whole signal; for blocks of fixed size, with one push of the signal."""
        name = f"streamed in chunks of {_runs(chunks)}"
        x = self._one(x)
        with _located(name, _CHUNKS):
            seen = self._streams(x, chunks)
            gridded = self._gridded
            wanted = self._streams(x, [sum(chunks)]) if gridded else self._first(self.runner.run(x))
            found = [self._compare_one(key, value, wanted[key], x) for key, value in seen.items()]
            if gridded:  # an answer that needs other blocks than its own differs if one push completes several blocks
                seen, wanted = (self._streams(x, cuts, finished=False) for cuts in (chunks, [sum(chunks)]))
                found += [self._compare_one(key, value, wanted[key], x) for key, value in seen.items()]
            return self.judge.check(name, found)

    def _streams(self, x: Array, chunks: Sequence[int], *, finished: bool = True) -> dict[str, Array]:
        """Return the outputs, time first, of one stream in chunks; of an output without a time axis the last answer."""
        model = self.loaded.preferred
        found = stream(model, one_of(self._port, x), chunks, finished=finished, given=self.runner.given)
        return {name: one.values if one.ends is None else one.values[-1] for name, one in found.items()}

    def _first(self, answers: Answers) -> dict[str, Array]:
        """Return the outputs of the first stream of a batch, time first."""
        return {name: one_stream(port, answers[name]) for name, port in self._ports.items()}

    def _as_loaded(
        self, signals: Sequence[Array], what: str = "", *, on_the_way: bool = True
    ) -> Iterator[Check | None]:
        """Stream each signal of one stream frame by frame on each backend, and compare answers with the original's.

        Args:
            signals: The signals.
            what: What they are, for the names of the checks.
            on_the_way: Whether to compare all answers of an output without a time axis, each with the original's
                answer to the frames up to there; else only the last.
        """
        known: list[dict[int, Answers]] = [{} for _ in signals]
        for backend, model in self.loaded.models.items():
            name = f"streamed frame by frame on {backend}{what}"
            in_codes = backend == "native" and self.loaded.quantized
            judge = replace(self.judge, coarseness=COARSENESS) if in_codes else self.judge
            with _located(name, _FAULT):
                pairs = zip(signals, known, strict=True)
                found = [one for x, wanted in pairs for one in self._answers(model, x, wanted, judge, on_the_way)]
                checked = judge.check(name, found)
            yield checked

    def _answers(
        self, model: Model, x: Array, wanted: dict[int, Answers], judge: Judge, on_the_way: bool
    ) -> Iterator[Measured]:
        """Yield the errors of the answers of a model to a signal, pushed frame by frame.

        The original's answers by the frames before them are kept in `wanted`.
        """
        length = x.shape[self._time]
        # Some originals answer only the whole signal.
        last = self.runner.contract.looks_ahead or not (self.lengths and on_the_way)
        for key, seen in self._frame_by_frame(model, x).items():
            answers = [seen.values] if seen.ends is None else list(seen.values)
            ends = [length] if seen.ends is None or last else [*seen.ends]
            for end, values in zip(ends, answers[-len(ends) :], strict=True):
                past = cut(x, self._time, 0, end)
                wanted[end] = wanted.get(end) or self._wanted_of(past)
                shown = graph_axes(self._ports[key], values)
                yield self._compare(key, shown, wanted[end][key], past, judge=judge)

    def _frame_by_frame(self, model: Model, x: Array) -> dict[str, Streamed]:
        return stream(model, one_of(self._port, x), [1] * x.shape[self._time], given=self.runner.given)

    def _wanted_of(self, x: Array) -> Answers:
        """Return the original's answers to one stream; for blocks of fixed size, the answers of one push."""
        if not self._gridded:
            return self.original(x)
        found = self._streams(x, [x.shape[self._time]])
        return {name: graph_axes(self._ports[name], values) for name, values in found.items()}

    @property
    def _gridded(self) -> bool:
        blocks = self.runner.contract.blocks
        return blocks is not None and blocks.frames is not None

    @property
    def _ports(self) -> dict[str, Port]:
        return {port.name: port for port in self.runner.contract.outputs}

    def _one(self, x: Array) -> Array:
        """Return the first stream of a batch, with its batch axis."""
        batch = self._port.batch_axis
        return x if batch is None else cut(x, batch, 0, 1)

    def _compare_end(self, pieces: Mapping[str, Sequence[Array]], x: Array) -> Iterator[Measured]:
        """Yield the errors of the chunks so far against their signal as a whole."""
        for key, value in self.runner.run(x).items():
            axis = self._time_axes().get(key)
            seen = pieces[key][-1] if axis is None else np.concatenate(pieces[key], axis)
            yield self._compare(key, seen, value, x)

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

    def _compare(  # noqa: PLR0917  what is compared, and from where
        self, key: str, seen: Array, wanted: Array, x: Array, start: int = 0, judge: Judge | None = None
    ) -> Measured:
        """Return the error of one output: the answer to a signal, from frame `start` of it."""
        answer = Answer(key, seen, self._time_axes().get(key), x, start)
        if key in self._ports:
            batch = self._port.batch_axis
            streams = 1 if batch is None else x.shape[batch]
            wanted = with_dropped_axes(wanted, self._ports[key], seen.shape, streams)
        return (judge or self.judge).compare(answer, wanted, x.shape[self._time] - 1)

    def _compare_one(self, key: str, seen: Array, wanted: Array, x: Array) -> Measured:
        """Return the error of one output of one stream, time first."""
        answer = Answer(key, seen, None if self._time_axes()[key] is None else 0, x)
        return self.judge.compare(answer, wanted, x.shape[self._time] - 1)


@contextmanager
def _located(name: str, hint: str) -> Iterator[None]:
    """Add the failed check and a likely cause to an ExportError."""
    try:
        yield
    except (RoundingError, UnfiniteError) as error:
        raise type(error)(f"{name}: {error}") from error
    except ExportError as error:
        raise ExportError(f"{name}: {error}; {hint}") from error


def _runs(chunks: Sequence[int]) -> str:
    """Return chunk sizes as text: one number if all are equal, else the first LISTED."""
    if len(set(chunks)) == 1:
        return f"{chunks[0]} ({len(chunks)} chunks)"
    more = f", ... ({len(chunks)} chunks)" if len(chunks) > LISTED else ""
    return ", ".join(map(str, chunks[:LISTED])) + more


def _spoil(states: Sequence[State], values: Answers) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield names and spoilt states: each layer, tail and static input zeroed, and h and c of each module swapped."""
    for state in states:
        if state.kind in ("tail", "static"):
            yield f"{state.input} zeroed", {state.input: np.zeros_like(values[state.input])}
            continue
        for layer in range(len(values[state.input])):
            spoilt = values[state.input].copy()
            spoilt[layer] = 0
            yield f"{state.input} zeroed in layer {layer}", {state.input: spoilt}
    modules: dict[str, list[str]] = defaultdict(list)
    for state in (one for one in states if one.kind != "static"):
        modules[state.input.rpartition(".")[0]].append(state.input)
    for names in modules.values():
        if len(names) == 2 and values[names[0]].shape == values[names[1]].shape:
            a, b = names
            yield f"{a} and {b} swapped", {a: values[b], b: values[a]}
