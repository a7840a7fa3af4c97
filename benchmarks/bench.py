"""The work of `tidegate bench`: measures one model file or a suite on peers and returns a Result."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..quant.answers.own_signal import own_signal, reads_ids
from ..runtime.arrays import Array
from ..runtime.backends.onnxruntime_stream import refuse_unfinite
from ..runtime.errors import ChunkError, ModelError
from ..runtime.files import MAX_FILE_BYTES, read_bytes
from ..runtime.graph.graph import Graph
from ..runtime.inspection import inspect_file
from ..runtime.plan.magic import is_plan
from ..runtime.plan.writer import read_header
from .measuring.environment import observe_engine
from .measuring.harness import Variants, run_jobs
from .measuring.jobs import FRAMES, file_job, stack_jobs
from .measuring.records import Settings
from .measuring.results import Result, Row, warnings_of
from .measuring.turns import pinnable
from .nets import stacks
from .peers.job import Job
from .progress import Progress

PUBLIC_SIZES = (
    stacks.Case("2x128", 40, 128, 2),
    stacks.Case("3x256", 80, 256, 3),
    stacks.Case("3x480", 240, 480, 3),
    stacks.Case("6x320", 80, 320, 6),
)
OTHER_CELLS = tuple(
    stacks.Case(f"{name} {cell}", *size, cell)
    for name, size in (("A", (40, 128, 1)), ("B", (100, 256, 1)))
    for cell in ("GRU", "RNN")
)
CELLS = {case.name: case for case in (*stacks.CASES.values(), *PUBLIC_SIZES, *OTHER_CELLS)}

Make = Callable[[Path], Sequence[Job]]
Shown = Callable[[Sequence[Row]], None]


def bench_file(
    path: Path,
    peers: Sequence[str],
    settings: Settings,
    *,
    signal: Array | None = None,
    steps: int = 1,
    closed: bool = False,
    progress: Progress | None = None,
    shown: Shown | None = None,
) -> Result:
    """Measure a streaming ONNX file.

    Args:
        path: The file. If its weights are quantized, the other peers get their float values.
        peers: Names of peers.
        settings: How to measure. The rate 0 means the rate of the contract.
        closed: Whether to measure in a closed loop.
        signal: float32 `[frames, features]`, or ids, integers `[frames]`, streamed over and over; None means noise, or
            random ids.
        steps: Frames per chunk.
        progress: Called with the fraction done (0 to 1) and a description of the work.
        shown: Called with the rows of a job as soon as they are measured.

    Raises:
        ModelError: The file is not a streaming ONNX file, or an open loop needs a rate and the contract has none.
        ChunkError: The signal has the wrong shape, is too short, or holds NaN or infinity.
    """
    facts = inspect_file(path)
    if facts.contract is None:
        raise ModelError(f"{path}: it has no streaming contract; export or lift it with tidegate")
    if not closed and not settings.rate and facts.contract.frame_seconds is None:
        raise ModelError(f"{path}: its contract states no rate; give --rate 100/s, --hop 10ms or --closed")
    frames = _own_frames(path, facts.features or 1) if signal is None else signal
    wanted = ("frames",) if _reads_ids(path) else ("frames", facts.features)
    if (frames.ndim, frames.shape[1:]) != (len(wanted), wanted[1:]):
        raise ChunkError(f"signal has shape {frames.shape}, wanted ({', '.join(map(str, wanted))})")
    refuse_unfinite(frames)
    made: list[Make] = [lambda folder: [file_job(folder, path.name, path, frames, steps)]]
    return bench(made, peers, settings, closed=closed, progress=progress, shown=shown)


def cell_jobs(cases: Iterable[stacks.Case], steps: Sequence[int]) -> list[Make]:
    """Return, for each stack of recurrent layers, a function that makes its jobs in a folder.

    Args:
        cases: The stacks.
        steps: Frames per chunk: one job for each number.
    """
    return [lambda folder, case=case: stack_jobs(folder, case, steps) for case in cases]  # type: ignore[misc]


def bench(
    jobs: Sequence[Make],
    peers: Sequence[str],
    settings: Settings,
    *,
    closed: bool = False,
    progress: Progress | None = None,
    shown: Shown | None = None,
    variants: Variants | None = None,
) -> Result:
    """Measure the jobs of several cases, one case after the other.

    Args:
        jobs: For each case, a function that makes its jobs in a folder. They differ only in the frames per chunk.
        peers: Names of peers.
        settings: How to measure. The rate 0 means the rate of each job's source, or a closed loop if it has none.
        closed: Whether to measure all jobs in a closed loop.
        progress: Called with the fraction done (0 to 1) and a description of the work.
        shown: Called with the rows of a case as soon as they are measured.
        variants: By peer, the variants to measure. For a peer that is not in it, all variants are measured.
    """
    rows: list[Row] = []
    core = pinnable() if settings.core is None else settings.core
    with TemporaryDirectory(prefix="tidegate-") as folder:
        environment = observe_engine(core)
        for number, make in enumerate(jobs):
            those = make(Path(folder, str(number)))
            rate = 0.0 if closed else settings.rate or those[0].rate
            at = replace(settings, core=core, rate=rate)
            found = run_jobs(those, peers, at, _part(progress, number, len(jobs)), variants)
            rows += found
            if shown is not None:
                shown(found)
    return Result(environment, tuple(rows), tuple(environment.warnings() + warnings_of(rows)))


def _part(progress: Progress | None, number: int, count: int) -> Progress:
    """Return a progress function for one of several cases."""

    def move(share: float, text: str | None = None, /) -> None:
        if progress is not None:
            progress((number + share) / count, text)

    return move


def _reads_ids(path: Path) -> bool:
    """Return whether a file's signal is token ids."""
    if is_plan(path):
        return bool(read_header(read_bytes(path, MAX_FILE_BYTES)).input_kind)
    return reads_ids(Graph.load(path))


def _own_frames(path: Path, features: int) -> Array:
    """Return noise `[FRAMES, features]`, or random ids that the file knows.

    Raises:
        ChunkError: The file is a plan of ids; it does not say how many there are.
    """
    if not _reads_ids(path):
        return np.random.default_rng(0).standard_normal((FRAMES, features), np.float32)
    if is_plan(path):
        raise ChunkError(f"{path}: the plan takes token ids: give some with --input, or the ONNX file")
    return own_signal(Graph.load(path))["random ids"][:FRAMES]
