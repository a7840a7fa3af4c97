"""The latency of one model file: tidegate's engine and onnxruntime on the same stream, in turns on one core."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx

from ..runtime import plan as plans
from ..runtime.arrays import Array, Floats
from ..runtime.contract import Contract
from ..runtime.errors import BackendError, ChunkError, ModelError
from ..runtime.graph import Graph
from ..runtime.inspection import inspect_file
from ..runtime.model import naming, plan_of
from ..runtime.native import NativeModel
from ..runtime.onnxruntime_backend import fold_weights, refuse_unfinite
from .environment import Environment, observe
from .latency import Contender, Progress, Run, Stepper, calls_within, measure, pinned
from .rivals import onnxruntime_float32, onnxruntime_int8
from .rivals.onnxruntime_session import graph_chunk

NOISE_FRAMES = 1000
JSON_VERSION = 1


class Adapter(Protocol):
    """A module in `rivals`: one runtime in one precision."""

    PRECISION: str

    def from_model(self, model: onnx.ModelProto, contract: Contract, example: Array) -> Mapping[str, Stepper]:
        """Return steppers of a float model by how they are called."""


RIVALS: dict[str, tuple[Adapter, ...]] = {"onnxruntime": (onnxruntime_int8, onnxruntime_float32)}


@dataclass(frozen=True)
class Comparison:
    """One run on one model.

    Attributes:
        path: The file.
        frames: Frames of a chunk.
        signal: What was streamed.
        run: The times.
        environment: The machine.
        remarks: Why a contender is not there.
    """

    path: str
    frames: int
    signal: str
    run: Run
    environment: Environment
    remarks: tuple[str, ...]

    def warnings(self) -> list[str]:
        """Say what makes the figures doubtful."""
        return self.environment.warnings() + self.run.warnings()

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready values."""
        fields = {"version": JSON_VERSION, "path": self.path, "frames": self.frames, "signal": self.signal}
        rest = {"environment": self.environment.to_dict(), "run": self.run.to_dict(), "remarks": self.remarks}
        return fields | rest | {"warnings": self.warnings()}


def compare(
    path: str | os.PathLike[str],
    *,
    against: Sequence[str] = tuple(RIVALS),
    signal: Floats | None = None,
    frames: int = 1,
    calls: int | None = None,
    seconds: float = 5.0,
    deadline: float | None = None,
    isa: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Time a model on the engine and on its rivals, all on the same stream of chunks.

    Args:
        path: A streaming ONNX file, or a compiled plan, which rivals cannot run.
        against: Rivals: `onnxruntime`, or none.
        signal: float32 `[frames, features]`, streamed over and over; None: 1000 frames of noise.
        frames: Frames of a chunk.
        calls: Calls of each contender; None: as many as fit into `seconds`.
        seconds: Time for all contenders together.
        deadline: Seconds an answer may take; None: the time between chunks that the contract states.
        isa: Instruction-set variant of the engine; None: the best.
        progress: Called with the share done.

    Raises:
        ModelError: The file is not a model that the engine runs.
        ChunkError: The signal does not fit the model.
        BackendError: A rival or the instruction set is not there.
    """
    facts = inspect_file(path)
    with naming(path):
        model = NativeModel(plan_of(path), isa)
    name = f"{NOISE_FRAMES} frames of noise" if signal is None else f"{len(signal)} frames"
    chunks = _chunks(_noise(facts.features or 1) if signal is None else signal, frames)
    refuse_unfinite(np.concatenate(chunks))  # before anything is timed, as is a wrong width below
    limit = deadline or (None if model.contract.frame_seconds is None else model.contract.frame_seconds * frames)
    with pinned() as core:
        environment = observe((model.isa,), core)
        ours = Contender(f"tidegate {model.isa}", model.stream().push, chunks)
        ours.step(chunks[0])
        rivals, remarks = _rivals(path, against, chunks)
        contenders = [ours, *rivals]
        count = calls or calls_within(seconds, contenders)
        run = measure(contenders, calls=count, deadline=limit, progress=progress)
    return Comparison(os.fspath(path), frames, name, run, environment, tuple(remarks))


def _noise(features: int) -> Floats:
    return np.random.default_rng(0).standard_normal((NOISE_FRAMES, features), np.float32)


def _chunks(signal: Floats, frames: int) -> list[Array]:
    """Cut a signal; a last part shorter than a chunk is left out."""
    if signal.ndim != 2 or len(signal) < frames:
        raise ChunkError(f"signal has shape {signal.shape}, wanted (frames, features) with at least {frames} frames")
    return [np.ascontiguousarray(signal[at : at + frames]) for at in range(0, len(signal) - frames + 1, frames)]


def _rivals(
    path: str | os.PathLike[str], against: Sequence[str], chunks: Sequence[Array]
) -> tuple[list[Contender], list[str]]:
    """Return the rivals' contenders, and why others are missing."""
    unknown = [name for name in against if name not in RIVALS]
    if unknown:
        raise BackendError(f"rival {unknown[0]!r} is unknown; there are {', '.join(RIVALS)}")
    if against and plans.is_plan(path):
        return [], [f"{', '.join(against)}: no other runtime runs a compiled plan; give the ONNX file to compare"]
    contenders: list[Contender] = []
    remarks: list[str] = []
    for rival in against:
        for adapter in RIVALS[rival]:
            try:
                contenders += _entered(rival, adapter, Graph.load(path), chunks)
            except ModelError as error:
                remarks.append(f"{rival} {adapter.PRECISION}: {error}")
    return contenders, remarks


def _entered(rival: str, adapter: Adapter, graph: Graph, chunks: Sequence[Array]) -> list[Contender]:
    """Return one adapter's contenders on the float32 form of a graph."""
    contract = graph.contract
    prepared = [graph_chunk(contract, chunk) for chunk in chunks]
    steps = adapter.from_model(fold_weights(graph).model, contract, prepared[0])
    return [Contender(f"{rival} {adapter.PRECISION} {how}", step, prepared) for how, step in steps.items()]
