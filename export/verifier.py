"""Verify: repeat the proof of an export for any file, or compare two files on a user's own data."""

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ..runtime.arrays import Array
from ..runtime.contract import Contract, Port
from ..runtime.errors import ExportError, TidegateError
from ..runtime.graph.graph import Graph
from ..runtime.load import load
from ..runtime.lowering.lower import QUANTIZATION_KEY
from ..runtime.plan.magic import is_plan
from ..runtime.streams import Model
from .factory import load_module
from .graph.axes import Axes
from .optional import need
from .proof.comparison import Check, Judge, peak_error
from .proof.proof import Proof
from .proof.rounding import Rounding
from .proof.runner import Runner
from .proof.signals import time_axis, time_axis_of_one

if TYPE_CHECKING:
    import torch


Answers = dict[str, Array]
Chunks = int | Literal["all"]

CHUNKS: tuple[Chunks, ...] = (1, 3, 17, "all")
FRAMES = 50  # of noise, if there is no data
SPANS = 10  # parts of a signal, for the error over time
FLOAT_LIMIT, QUANTIZED_LIMIT = 1e-5, 0.05


@dataclass(frozen=True)
class FrameSpan:
    """The error of one output in a part of a signal.

    Attributes:
        output: The name of the output.
        start: The first frame.
        end: The frame after the last.
        largest: max|seen - wanted| in the span / max|wanted| in the whole signal.
        mean: rms(seen - wanted) / rms(wanted), both in the span.
    """

    output: str
    start: int
    end: int
    largest: float
    mean: float


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

    Each backend that runs the file streams the signal in chunks of each size. Its answers must equal those of the other
    side within the limit, and the engine's answers must have the same bits for all sizes. Against a module, the whole
    proof of an export runs too: other lengths and batches, random chunkings, spoilt states.

    Args:
        path: A streaming ONNX file, float or quantized, or a compiled plan.
        against: A module, `package.module:factory`, a TorchScript file, or a streaming ONNX file or plan.
        weights: The state_dict for a factory.
        data: A signal, float32 `[frames, features]` or ids `[frames]`; None: noise.
        ids: The number of ids, if the model takes ids and there is no data.
        chunks: Frames per push; "all" for the whole signal at once.
        limit: Largest error allowed, relative to the largest value of an output; None: 1e-5, or 0.05 if one of the
            files is quantized.

    Returns:
        The errors of all comparisons, passed or not.

    Raises:
        ExportError: A check of the proof against a module failed, the file does not fit the module or other file, or
            no backend runs it.
        ModelError: A file is not a streaming model.
        FileNotFoundError: There is no such file.
    """
    file = _File(path)
    other = _File(against) if _is_file(against) else None
    allowed = limit if limit is not None else QUANTIZED_LIMIT if _quantized(file, other) else FLOAT_LIMIT
    signal = file.noise(ids) if data is None else _as_signal(data)
    if other is not None:
        name, wanted, checks = other.path, other.whole(signal), list[Check]()
    else:
        original = _original(file, against, weights, signal)
        name, wanted, checks = original.name, original.whole(signal), original.proof(signal, allowed)
    for backend in file.models:
        checks += _chunked(file, backend, signal, chunks, wanted=wanted, limit=allowed)
    backends = tuple(model.backend for model in file.models.values())
    spans = tuple(_over_time(file, signal, other, wanted))
    return Verification(file.path, name, backends, file.refused, tuple(checks), spans)


class _File:
    """A streaming file on the backends that run it.

    Attributes:
        path: The file.
        models: The loaded models by backend, the engine first.
        refused: The reasons of the backends that do not run the file.
    """

    def __init__(self, path: object) -> None:
        self.path = os.fspath(cast("str", path))
        self.models: dict[str, Model] = {}
        self.refused: dict[str, str] = {}
        for backend in ("native", "onnxruntime"):
            try:
                self.models[backend] = load(self.path, cast("Any", backend))
            except TidegateError as error:
                self.refused[backend] = str(error)
        if not self.models:
            raise ExportError(f"{self.path}: no backend runs it: {'; '.join(self.refused.values())}")

    @property
    def contract(self) -> Contract:
        """The contract of the file."""
        return next(iter(self.models.values())).contract

    @property
    def quantized(self) -> bool:
        """Whether the metadata of the file say that it is quantized."""
        return not is_plan(self.path) and Graph.load(self.path).metadata(QUANTIZATION_KEY) is not None

    def noise(self, ids: int | None) -> Array:
        """Return a signal of noise, float32 `[FRAMES, features]`, or of random ids, int64 `[FRAMES]`."""
        random = np.random.default_rng(0)
        if ids is not None:
            return random.integers(0, ids, FRAMES)
        if is_plan(self.path):
            raise ExportError(f"{self.path}: a plan can be compared only on data: give some")
        port = self.contract.inputs[0]
        item = next(item for item in Graph.load(self.path).model.graph.input if item.name == port.name)
        if item.type.tensor_type.elem_type != 1:
            raise ExportError(f"input {port.name!r} takes ids: give data, or the number of ids")
        sizes = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        features = [size for axis, size in enumerate(sizes) if axis not in (port.time_axis, port.batch_axis)]
        return random.standard_normal((FRAMES, *features), np.float32)

    def whole(self, signal: Array) -> Answers:
        """Return the answers by name to a signal in one push, on the more exact backend."""
        return _streamed(self.models.get("onnxruntime") or self.models["native"], signal, "all")


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
        self.subject: Subject = Subject(module, _batched(signal, self._port))
        self.subject.axes = Axes(time_axis(self._port), self._port.batch_axis)
        self._names: dict[str, str] = {}

    def whole(self, signal: Array) -> Answers:
        """Return the module's answers to a signal of one stream, by the names of the file."""
        with self.subject.evaluating():
            self.subject.try_example()
            answers = self.answers(_batched(signal, self._port))
        ports = {port.name: port for port in self._file.contract.outputs}
        return {name: _one_stream(values, ports[name]) for name, values in answers.items()}

    def answers(self, x: Array) -> Answers:
        """Return the module's answers to a batch of streams, by the names of the file."""
        found = self.subject.answers(x)
        self._names = self._names or self._matched(found, x)
        return {new: found[old] for old, new in self._names.items()}

    def proof(self, signal: Array, limit: float) -> list[Check]:
        """Return the checks of an export's proof; none for a plan.

        Raises:
            ExportError: A check failed.
        """
        if is_plan(self._file.path):
            return []
        runner = Runner(Path(self._file.path).read_bytes(), self._file.contract)
        with self.subject.evaluating():
            judge = Judge(Rounding(runner), limit, "limit")
            return list(Proof(runner, self.answers, _batched(signal, self._port), judge).run())

    def _matched(self, found: Answers, x: Array) -> dict[str, str]:
        """Return the file's output for each output of the module: by name, else the one with the closest answers."""
        names = [port.name for port in self._file.contract.outputs]
        if set(names) <= found.keys():
            return {name: name for name in names}
        ports = {port.name: port for port in self._file.contract.outputs}
        first = np.take(x, 0, self._port.batch_axis) if self._port.batch_axis is not None else x
        seen = self._file.whole(np.moveaxis(first, time_axis_of_one(self._port), 0))
        matched = {}
        for name in names:
            errors = {
                old: peak_error(seen[name], one)
                for old, values in found.items()
                if (one := _one_stream(values, ports[name])).shape == seen[name].shape
            }
            if not errors:
                shapes = ", ".join(f"{old} {list(values.shape)}" for old, values in found.items())
                raise ExportError(f"output {name!r} has shape {list(seen[name].shape)}; the module gives {shapes}")
            matched[min(errors, key=errors.__getitem__)] = name
        return matched


def _original(file: _File, against: Any, weights: Any, signal: Array) -> _Module:  # noqa: ANN401  see verify
    if isinstance(against, str | os.PathLike):
        name = os.fspath(against)
        return _Module(file, load_module(name, None if weights is None else Path(weights)), name, signal)
    return _Module(file, against, type(against).__name__, signal)


def _as_signal(data: Array) -> Array:
    """Return a signal as models take it: ids unchanged, features as float32."""
    values = np.asarray(data)
    return values if values.ndim == 1 and values.dtype.kind in "iu" else values.astype(np.float32)


def _is_file(against: object) -> bool:
    named = isinstance(against, str | os.PathLike) and ":" not in os.fspath(against)
    return named and Path(cast("str", against)).suffix not in (".pt", ".pth", ".ts")


def _quantized(*files: _File | None) -> bool:
    return any(file is not None and file.quantized for file in files)


def _chunked(
    file: _File, backend: str, signal: Array, chunks: Sequence[Chunks], *, wanted: Answers, limit: float
) -> list[Check]:
    """Return the checks of one backend: against the wanted answers, then between its chunk sizes."""
    answers = {size: _streamed(file.models[backend], signal, size) for size in chunks}
    checks = [Check(f"{backend}, in chunks of {size}", _error(seen, wanted), limit) for size, seen in answers.items()]
    first, *others = answers.values()
    sizes = ", ".join(map(str, chunks))
    if backend == "native":
        differing = sum(int((seen[key] != first[key]).sum()) for seen in others for key in first)
        return [*checks, Check(f"native, bits that differ between chunks of {sizes}", differing, 0.0)]
    error = max((_error(seen, first) for seen in others), default=0.0)
    return [*checks, Check(f"{backend}, between chunks of {sizes}", error, FLOAT_LIMIT)]


def _error(seen: Answers, wanted: Answers) -> float:
    if missing := wanted.keys() - seen.keys():
        raise ExportError(f"the file has no output {', '.join(sorted(missing))}; it has {', '.join(seen)}")
    shapes = {key: (seen[key].shape, value.shape) for key, value in wanted.items()}
    for key, (ours, theirs) in shapes.items():
        if ours != theirs:
            raise ExportError(f"output {key!r} has shape {list(ours)}, wanted {list(theirs)}")
    return max(peak_error(seen[key], value) for key, value in wanted.items())


def _streamed(model: Model, signal: Array, size: Chunks, *, every: bool = False) -> Answers:
    """Return the answers to a signal in chunks, time first; of an output without a time axis the last answer.

    Args:
        model: The model.
        signal: `[frames, ...]`.
        size: Frames per push.
        every: Whether to keep the answers of all pushes for outputs without a time axis.
    """
    step, stream = (len(signal) if size == "all" else size), model.stream()
    pushes = [stream.push(signal[start : start + step]) for start in range(0, len(signal), step)]
    tail = stream.finish()
    pieces: dict[str, list[Array]] = defaultdict(list)
    for answer in [*pushes, *([] if tail is None else [tail])]:
        named = answer if isinstance(answer, dict) else {model.contract.outputs[0].name: answer}
        for name, values in named.items():
            pieces[name].append(np.array(values))
    timed = {port.name for port in model.contract.outputs if port.time_axis is not None}
    join: Callable[[list[Array]], Array] = np.stack if every else lambda parts: parts[-1]
    # A push whose answer is not complete yet gives an empty one.
    given = {name: [part for part in parts if part.size] or parts for name, parts in pieces.items()}
    return {name: np.concatenate(pieces[name]) if name in timed else join(parts) for name, parts in given.items()}


def _over_time(file: _File, signal: Array, other: _File | None, wanted: Mapping[str, Array]) -> list[FrameSpan]:
    """Return the error of each output in parts of the signal, from pushes of one frame."""
    model = next(iter(file.models.values()))
    seen = _streamed(model, signal, 1, every=True)
    if other is not None:
        wanted = _streamed(other.models.get("onnxruntime") or other.models["native"], signal, 1, every=True)
    spans = []
    for name, values in wanted.items():
        if seen[name].shape != values.shape or len(values) != len(signal):
            continue  # only an answer to the last frame
        largest = float(np.abs(values).max()) or 1.0
        for part in np.array_split(np.arange(len(values)), min(SPANS, len(values))):
            gap, own = (a[part].astype(np.float64) for a in (seen[name] - values, values))
            mean = float(np.sqrt((gap**2).mean() / max((own**2).mean(), 1e-30)))
            spans.append(FrameSpan(name, int(part[0]), int(part[-1]) + 1, float(np.abs(gap).max()) / largest, mean))
    return spans


def _batched(signal: Array, port: Port) -> Array:
    """Return a signal `[frames, ...]` as one stream with the axes of a graph input."""
    frames = np.moveaxis(signal, 0, time_axis_of_one(port))
    return frames if port.batch_axis is None else np.expand_dims(frames, port.batch_axis)


def _one_stream(values: Array, port: Port) -> Array:
    """Return the first stream of an answer, frames first."""
    one = values if port.batch_axis is None else np.take(values, 0, port.batch_axis)
    return one if port.time_axis is None else np.moveaxis(one, time_axis_of_one(port), 0)
