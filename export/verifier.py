"""Verify: repeat the proof of an export for any file, or compare two files on a user's own data."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ..runtime.arrays import Array
from ..runtime.backends.onnxruntime_stream import one_stream
from ..runtime.contract import Contract, Port
from ..runtime.errors import ExportError
from ..runtime.files import MAX_FILE_BYTES, read_bytes
from ..runtime.graph.graph import Graph
from ..runtime.lowering.lower import QUANTIZATION_KEY
from ..runtime.plan.magic import is_plan
from ..runtime.streams import Model, apart
from .factory import load_module
from .graph.axes import Axes
from .optional import need
from .proof.comparison import Answer, Check, Judge, Measured, frame_errors, peak_error, with_dropped_axes
from .proof.loaded import load_everywhere
from .proof.proof import Proof
from .proof.rounding import Rounding
from .proof.runner import Runner
from .proof.signals import as_signal, batched, cut, static_noise, time_axis
from .proof.streaming import Streamed, check_request, common, graph_axes, one_of, stream

if TYPE_CHECKING:
    import torch


Answers = dict[str, Array]
Streams = dict[str, Streamed]
Chunks = int | Literal["all"]

CHUNKS: tuple[Chunks, ...] = (1, 3, 17, "all")
FRAMES = 50  # of noise, if there is no data
MODULE_ANSWERS = 256  # of a module that answers for the last frame: each takes a forward over all frames before it
SPANS = 10  # parts of a signal, for the error over time
QUANTIZED_LIMIT = 0.05


@dataclass(frozen=True)
class FrameSpan:
    """The error of one output in a part of a signal.

    Attributes:
        output: The name of the output.
        start: The first frame.
        end: The frame after the last.
        largest: max|seen - wanted| in the span / max|wanted| in the whole signal.
        rms: rms(seen - wanted) / rms(wanted), both in the span.
    """

    output: str
    start: int
    end: int
    largest: float
    rms: float


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        path: The file.
        against: The name of the module or file that it was compared with.
        backends: The names of the backends that ran the file.
        refused: The reasons of the other backends, by their names.
        checks: All comparisons, with their errors and limits.
        over_time: The errors in parts of the signal, in order.
    """

    path: str
    against: str
    backends: tuple[str, ...]
    refused: dict[str, str]
    checks: tuple[Check, ...]
    over_time: tuple[FrameSpan, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every error is on the right side of its limit."""
        return all(check.passed for check in self.checks)


def verify(
    path: str | os.PathLike[str],
    against: "torch.nn.Module | str | os.PathLike[str]",
    *,
    weights: str | os.PathLike[str] | None = None,
    data: Array | None = None,
    ids: int | None = None,
    chunks: Sequence[Chunks] = CHUNKS,
    limit: float | None = None,
) -> Verification:
    """Compare a streaming file with the module that it was exported from, or with another file.

    Each backend that runs the file streams the signal frame by frame and in chunks of each size. Every answer of these
    streams must equal that of the other side within the limit, and the engine's answers must have the same bits for all
    sizes. A module answers after each frame of a signal of up to MODULE_ANSWERS; of a longer signal, after as many
    frames at equal distances. Against a module, the whole
    proof of an export runs too: other lengths and batches, random chunkings, spoilt states.

    Args:
        path: A streaming ONNX file, float or quantized, or a compiled plan.
        against: A module, `package.module:factory`, a TorchScript file, or a streaming ONNX file or plan.
        weights: The state_dict for a factory.
        data: A signal, float32 `[frames, features]` or ids `[frames]`; None: noise.
        ids: The number of ids, if the model takes ids and there is no data.
        chunks: Frames per push; "all" for the whole signal at once.
        limit: Largest error allowed, relative to the largest value of an output; None: that of an export, or 0.05 if
            one of the files is quantized.

    Returns:
        The errors of all comparisons, passed or not.

    Raises:
        ExportError: A check of the proof against a module failed, the file does not fit the module or other file, or
            no backend runs it; or an argument has no such values.
        ModelError: A file is not a streaming model.
        FileNotFoundError: There is no such file.
    """
    file = _File(path)
    other = _File(against) if _is_file(against) else None
    signal = file.noise(ids) if data is None else as_signal(data)
    check_request(signal, chunks, limit)
    if limit is None and any(one is not None and one.quantized for one in (file, other)):
        limit = QUANTIZED_LIMIT
    judge = _judge(limit, file, other)
    if other is not None:
        name, wanted, checks = other.path, other.frame_by_frame(signal), list[Check]()
    else:
        original = _original(file, against, weights, signal)
        name, wanted, checks = original.name, original.frame_by_frame(signal), original.proof(signal, limit)
    port = file.contract.inputs[0]
    pushed = _Signal(batched(signal, port), time_axis(port))
    sizes = chunks if 1 in chunks else (1, *chunks)
    streams = {
        backend: {size: _streamed(model, signal, size) for size in sizes} for backend, model in file.models.items()
    }
    for backend, seen in streams.items():
        checks += _compared(backend, seen, wanted, judge, pushed)
    backends = tuple(model.backend for model in file.models.values())
    spans = tuple(_over_time(next(iter(streams.values()))[1], wanted))
    return Verification(file.path, name, backends, file.loaded.refused, tuple(checks), spans)


def _judge(limit: float | None, *files: "_File | None") -> Judge:
    """Return what compares the answers: by a limit, or by the rounding of a float file."""
    graphs = [file for file in files if file is not None and not is_plan(file.path)]
    rounding = Rounding(Runner(graphs[0].data, graphs[0].contract)) if graphs and limit is None else None
    return Judge(rounding, limit, "limit")


@dataclass(frozen=True)
class _Signal:
    """A signal of one stream, with the axes of the file, and its axis of frames."""

    x: Array
    time: int

    def up_to(self, end: int) -> Array:
        """Return the frames before `end`."""
        return cut(self.x, self.time, 0, min(end, self.x.shape[self.time]))


class _File:
    """A streaming file on the backends that run it.

    Attributes:
        path: The file.
        data: Its bytes.
        loaded: The file on its backends.
    """

    def __init__(self, path: object) -> None:
        self.path = os.fspath(cast("str", path))
        self.data = read_bytes(self.path, MAX_FILE_BYTES)
        self.loaded = load_everywhere(self.data, self.path)

    @property
    def models(self) -> dict[str, Model]:
        """The loaded models by backend, the engine first."""
        return self.loaded.models

    @property
    def contract(self) -> Contract:
        """The contract of the file."""
        return next(iter(self.models.values())).contract

    def port(self, name: str) -> Port:
        """Return an output of the file."""
        return next(port for port in self.contract.outputs if port.name == name)

    @property
    def quantized(self) -> bool:
        """Whether it has quantized weights: as the engine or, if that does not run it, its metadata say."""
        return self.loaded.quantized or (
            not is_plan(self.path) and Graph.load(self.path).metadata(QUANTIZATION_KEY) is not None
        )

    def noise(self, ids: int | None) -> Array:
        """Return a signal of noise, float32 `[FRAMES, features]`, or of random ids, int64 `[FRAMES]`."""
        random = np.random.default_rng(0)
        if ids is not None:
            return random.integers(0, ids, FRAMES)
        if is_plan(self.path):
            raise ExportError(f"{self.path}: a plan can be compared only on a signal of yours: data= (--data)")
        port = self.contract.inputs[0]
        item = next(item for item in Graph.load(self.path).model.graph.input if item.name == port.name)
        if item.type.tensor_type.elem_type != 1:
            raise ExportError(f"input {port.name!r} takes ids: give data= (--data), or the number of ids, ids= (--ids)")
        sizes = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        features = [size for axis, size in enumerate(sizes) if axis not in (port.time_axis, port.batch_axis)]
        return random.standard_normal((FRAMES, *features), np.float32)

    def frame_by_frame(self, signal: Array) -> Streams:
        """Return all answers to a signal, on the more exact backend."""
        return _streamed(self.models.get("onnxruntime") or self.models["native"], signal, 1)


def _arguments(contract: Contract, x: Array) -> Any:  # noqa: ANN401  as torch takes an example
    """Return a signal as an example of the module: several signals, and noise for static inputs, are a tuple."""
    signals = apart(contract.pieces, x)
    parts, static = [*signals.values()] if isinstance(signals, Mapping) else [signals], static_noise(contract).values()
    return (*parts, *static) if len(parts) + len(static) > 1 else x


class _Module:
    """The module that a file is compared with.

    Attributes:
        name: Its name in the report.
    """

    def __init__(self, file: _File, module: Any, name: str, signal: Array) -> None:  # noqa: ANN401  checked below
        need("torch")
        from .pytorch.module import Subject

        self.name, self._file = name, file
        self._port = file.contract.inputs[0]
        static = [state.input for state in file.contract.states if state.kind == "static"]
        self.subject: Subject = Subject(module, _arguments(file.contract, batched(signal, self._port)), static)
        self.subject.axes = Axes(time_axis(self._port), self._port.batch_axis)
        self._names: dict[str, str] = {}

    def frame_by_frame(self, signal: Array) -> Streams:
        """Return the module's answers to a signal of one stream: to all of it, or to the frames up to each answer."""
        with self.subject.evaluating():
            self.subject.try_example()
            self.answers(batched(signal, self._port))  # learns the names from the whole signal
            return {
                name: self._streamed(name, seen, signal) for name, seen in self._file.frame_by_frame(signal).items()
            }

    def _streamed(self, name: str, seen: Streamed, signal: Array) -> Streamed:
        if seen.ends is None:
            return Streamed(self._answer(name, seen.values, signal))
        few = np.linspace(0, len(seen.ends) - 1, min(MODULE_ANSWERS, len(seen.ends))).round().astype(int).tolist()
        # With lookahead, the module answers like the last push only.
        chosen = few[-1:] if self._file.contract.looks_ahead else few
        ends = tuple(seen.ends[i] for i in chosen)
        return Streamed(np.array([self._answer(name, seen.values[-1], signal[:end]) for end in ends]), ends)

    def _answer(self, name: str, seen: Array, signal: Array) -> Array:
        """Return one answer of the module to one stream; `seen` is such an answer of the file."""
        values = self._aligned(name, seen, self.answers(batched(signal, self._port))[name])
        return one_stream(self._file.port(name), values)

    def _aligned(self, name: str, seen: Array, values: Array) -> Array:
        """Return an answer of the module with the axes that it has in the file."""
        port = self._file.port(name)
        return with_dropped_axes(values, port, graph_axes(port, seen).shape, 1)

    def answers(self, x: Array) -> Answers:
        """Return the module's answers to a batch of streams, by the names of the file."""
        found = self.subject.answers(x)
        self._names = self._names or self._matched(found, x)
        return {new: found[old] for old, new in self._names.items()}

    def proof(self, signal: Array, limit: float | None) -> list[Check]:
        """Return the checks of an export's proof; none for a plan.

        Raises:
            ExportError: A check failed.
        """
        if is_plan(self._file.path):
            return []
        runner = Runner(self._file.data, self._file.contract, given=static_noise(self._file.contract))
        with self.subject.evaluating():
            judge = Judge(Rounding(runner), limit, "limit")
            return list(Proof(runner, self.answers, batched(signal, self._port), judge, self._file.loaded).run())

    def _matched(self, found: Answers, x: Array) -> dict[str, str]:
        """Return the file's output for each output of the module: by name, else the one with the closest answers."""
        names = [port.name for port in self._file.contract.outputs]
        if set(names) <= found.keys():
            return {name: name for name in names}
        matched = {}
        for name, streamed in self._file.frame_by_frame(one_of(self._port, x)).items():
            seen = streamed.values if streamed.ends is None else streamed.values[-1]
            shown = graph_axes(self._file.port(name), seen)
            aligned = {old: self._aligned(name, seen, values) for old, values in found.items()}
            errors = {old: peak_error(shown, one) for old, one in aligned.items() if one.shape == shown.shape}
            if not errors:
                shapes = ", ".join(f"{old} {list(values.shape)}" for old, values in found.items())
                raise ExportError(f"output {name!r} has shape {list(shown.shape)}; the module gives {shapes}")
            matched[min(errors, key=errors.__getitem__)] = name
        return matched


def _original(file: _File, against: Any, weights: Any, signal: Array) -> _Module:  # noqa: ANN401  see verify
    if isinstance(against, str | os.PathLike):
        name = os.fspath(against)
        return _Module(file, load_module(name, None if weights is None else Path(weights)), name, signal)
    return _Module(file, against, type(against).__name__, signal)


def _is_file(against: object) -> bool:
    named = isinstance(against, str | os.PathLike) and ":" not in os.fspath(against)
    return named and Path(cast("str", against)).suffix not in (".pt", ".pth", ".ts")


def _compared(
    backend: str, streams: Mapping[Chunks, Streams], wanted: Streams, judge: Judge, signal: _Signal
) -> Iterator[Check]:
    """Yield the checks of one backend: against the wanted answers, then between its chunk sizes."""
    for size, seen in streams.items():
        yield _check(f"{backend}, in chunks of {size}", seen, wanted, judge, signal)
    sizes, first = ", ".join(map(str, streams)), streams[1]
    others = [seen for size, seen in streams.items() if size != 1]
    if backend == "native":
        pairs = [common(seen[name], first[name]) for seen in others for name in seen]
        differing = sum(int(np.sum(a != b)) for a, b, _ in pairs)
        yield Check(f"native, bits that differ between chunks of {sizes}", differing, 0.0)
        return
    between = Judge(judge.rounding, None)
    checks = [_check(f"{backend}, between chunks of {sizes}", seen, first, between, signal) for seen in others]
    yield from sorted(checks, key=lambda check: check.error)[-1:]


def _check(name: str, seen: Streams, wanted: Streams, judge: Judge, signal: _Signal) -> Check:
    """Return the check of all answers of a stream.

    Raises:
        ExportError: The file has no such output, or one of another shape.
    """
    if missing := wanted.keys() - seen.keys():
        raise ExportError(f"the file has no output {', '.join(sorted(missing))}; it has {', '.join(seen)}")
    found = [measured for key in wanted for measured in _measured(key, seen, wanted, judge, signal)]
    worst = max(found, key=lambda measured: measured.share)
    return Check(name, worst.error, worst.limit)


def _measured(name: str, seen: Streams, wanted: Streams, judge: Judge, signal: _Signal) -> Iterator[Measured]:
    """Yield the errors of one output: of all frames together, or of each answer."""
    values, right, ends = common(seen[name], wanted[name])
    if values.shape != right.shape:
        raise ExportError(f"output {name!r} has shape {list(values.shape)}, wanted {list(right.shape)}")
    if ends is None:
        yield judge.measure(Answer(name, values, 0, signal.x), right)
        return
    largest = float(np.abs(wanted[name].values).max(initial=0.0))
    errors = frame_errors(values, right, 0, largest)
    within = errors <= judge.base
    if within.any():
        yield Measured(float(errors[within].max()), judge.base)
    beyond = np.flatnonzero(~within)
    for i in beyond if judge.rounding else beyond[np.argsort(errors[beyond])][-1:]:
        yield judge.measure(Answer(name, values[i], None, signal.up_to(ends[i])), right[i], largest)


def _streamed(model: Model, signal: Array, size: Chunks) -> Streams:
    """Return all answers to a signal `[frames, ...]` in chunks of one size."""
    step = len(signal) if size == "all" else size
    chunks = [min(step, len(signal) - start) for start in range(0, len(signal), step)]
    return stream(model, signal, chunks, given=static_noise(model.contract))


def _over_time(seen: Streams, wanted: Streams) -> Iterator[FrameSpan]:
    """Yield the error of each output in parts of the signal, from pushes of one frame."""
    for name in wanted:
        values, right, ends = common(seen[name], wanted[name])
        if len(right) < 2:
            continue  # only an answer at the end
        frames = range(1, len(right) + 1) if ends is None else ends
        largest = float(np.abs(right).max()) or 1.0
        for part in np.array_split(np.arange(len(right)), min(SPANS, len(right))):
            gap, own = (a[part].astype(np.float64) for a in (values - right, right))
            rms = float(np.sqrt((gap**2).mean() / max((own**2).mean(), 1e-30)))
            yield FrameSpan(name, frames[part[0]] - 1, frames[part[-1]], float(np.abs(gap).max()) / largest, rms)
