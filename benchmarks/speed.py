"""Speed and exactness of the engine beside onnxruntime's int8 LSTM: `python -m tidegate.benchmarks.speed`.

All contenders of a case take turns on one core in one run, batch 1, state carried. Each row carries its
error against a float64 run of the same stream, so that a fast wrong row shows.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..quant import quantize
from ..runtime.arrays import Array
from ..runtime.errors import TidegateError
from ..runtime.files import write_atomic
from ..runtime.graph import Graph
from ..runtime.model import compile_graph
from ..runtime.native import NativeModel
from . import lstms
from .environment import Environment, observe
from .latency import LOOP, Contender, Latency, Progress, Stepper, drift_warning, measure, pinned
from .progress import bar
from .rivals import onnxruntime_int8
from .speed_tables import render, to_markdown

JSON_VERSION = 1
STREAM_FRAMES = 1000  # for the error; a last part shorter than a chunk is left out
DISTINCT_CHUNKS = 250
PRECISIONS = ("W8A16", "W8A8", "W4A8")
RIVAL = "onnxruntime"


def label(peer: str, precision: str, how: str, isa: str | None) -> str:
    """Return what tables call a contender: `W8A16 avx2`, `onnxruntime IOBinding`."""
    return f"{peer} {how}" if peer == RIVAL else f"{precision} {isa}"


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        cases: Sizes.
        steps: Frames of a call.
        isa: Instruction-set variants of the engine; None is the best that the processor has.
        calls: Calls timed of each contender.
    """

    cases: tuple[lstms.Case, ...] = tuple(lstms.CASES.values())
    steps: tuple[int, ...] = (1, 16)
    isa: tuple[str | None, ...] = (None,)
    calls: int = 10_000


@dataclass(frozen=True)
class Row:
    """One contender in one case.

    Attributes:
        peer: `tidegate` or `onnxruntime`.
        precision: Bits of weights and activations.
        how: The call that was timed.
        isa: Instruction-set variant; None for onnxruntime, which does not say.
        case: Name of the sizes.
        steps: Frames of a call.
        loop: `closed`.
        calls: Calls timed.
        p50_us: Median, in microseconds.
        p90_us: 90th percentile.
        p99_us: 99th percentile.
        p999_us: 99.9th percentile.
        max_us: The longest call.
        spread: How far the block medians lie apart, relative to the median.
        block_medians_us: The median of each turn; the turns of one case are those of one run.
        error_rms: Root mean square difference to float64 over the stream.
        error_max: Largest difference.
    """

    peer: str
    precision: str
    how: str
    isa: str | None
    case: str
    steps: int
    loop: str
    calls: int
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    spread: float
    block_medians_us: tuple[float, ...]
    error_rms: float
    error_max: float

    @property
    def label(self) -> str:
        """What tables call it."""
        return label(self.peer, self.precision, self.how, self.isa)


@dataclass(frozen=True)
class Entrant:
    """A contender before its run; `error` holds root mean square and largest."""

    peer: str
    precision: str
    how: str
    isa: str | None
    step: Stepper
    chunks: Sequence[Array]
    error: tuple[float, float]

    def contender(self) -> Contender:
        """Return what the harness times."""
        return Contender(label(self.peer, self.precision, self.how, self.isa), self.step, self.chunks)

    def row(self, case: lstms.Case, steps: int, latency: Latency) -> Row:
        """Return the row of its run."""
        names = ("calls", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "spread", "block_medians_us")
        figures = {name: getattr(latency, name) for name in names}
        return Row(self.peer, self.precision, self.how, self.isa, case.name, steps, LOOP, **figures,
                   error_rms=self.error[0], error_max=self.error[1])  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Everything measured, with the machine and what makes it doubtful."""

    environment: Environment
    rows: tuple[Row, ...]
    clock_us: float
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """Return the JSON text of `--json`."""
        fields: dict[str, Any] = {"version": JSON_VERSION, "environment": self.environment.to_dict()}
        fields |= {"clock_us": self.clock_us, "warnings": self.warnings, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(fields, indent=1) + "\n"


def run(settings: Settings, progress: Progress | None = None) -> Result:
    """Measure every case at every number of steps.

    Raises:
        BackendError: onnxruntime or an instruction set is not there.
    """
    rows: list[Row] = []
    unsteady: list[str] = []
    with pinned() as core, TemporaryDirectory(prefix="tidegate-") as folder:
        environment = observe((), core)
        runs = [(case, steps) for case in settings.cases for steps in settings.steps]
        for done, (case, steps) in enumerate(runs):
            entrants = enter(case, steps, settings.isa, Path(folder))
            part = part_of(progress, done, len(runs))
            timed = measure([e.contender() for e in entrants], calls=settings.calls, progress=part)
            found = [e.row(case, steps, one) for e, one in zip(entrants, timed.latencies, strict=True)]
            unsteady += [f"{case.name} T={steps} {text}" for text in timed.unsteady()]
            rows += found
    isa = tuple(dict.fromkeys(row.isa for row in rows if row.isa))
    environment = Environment(**{**environment.to_dict(), "isa": isa})
    warnings = environment.warnings() + ([drift_warning(unsteady)] if unsteady else [])
    return Result(environment, tuple(rows), timed.clock_us, tuple(warnings))


def enter(case: lstms.Case, steps: int, isa: Sequence[str | None], folder: Path) -> list[Entrant]:
    """Return the contenders of a case: ours in each precision and variant, then onnxruntime's."""
    layers = lstms.random_layers(case)
    chunks, exact = chunks_of(case, layers, steps)
    return [*_ours(layers, chunks, exact, isa, folder), *_theirs(layers, chunks, exact)]


def chunks_of(case: lstms.Case, layers: Sequence[lstms.Layer], steps: int) -> tuple[list[Array], Array]:
    """Return a stream in chunks of `steps` frames, and its answers in float64 `[frames, hidden]`."""
    frames = lstms.random_frames(case, STREAM_FRAMES // steps * steps)
    return np.split(frames, len(frames) // steps), lstms.exact_answers(layers, frames)


def _ours(
    layers: Sequence[lstms.Layer], chunks: Sequence[Array], exact: Array, isa: Sequence[str | None], folder: Path
) -> Iterator[Entrant]:
    source = folder / "float.onnx"
    lstms.save_model(layers, source)
    for precision in PRECISIONS:
        target = folder / f"{precision}.onnx"
        quantize(source, target, precision=precision)
        plan = compile_graph(Graph.load(target))
        for name in isa:
            model = NativeModel(plan, name)
            error = errors(model.stream().push, chunks, exact)
            yield Entrant("tidegate", precision, "push", model.isa, model.stream().push, _cycled(chunks), error)


def _theirs(layers: Sequence[lstms.Layer], chunks: Sequence[Array], exact: Array) -> Iterator[Entrant]:
    prepared = [np.ascontiguousarray(chunk[:, None, :]) for chunk in chunks]
    for how, step in onnxruntime_int8.from_layers(layers, len(chunks[0])).items():
        error = errors(step, prepared, exact)  # the timed calls go on from this state
        yield Entrant(RIVAL, "int8", how, None, step, _cycled(prepared), error)


def _cycled(chunks: Sequence[Array]) -> list[Array]:
    return [np.ascontiguousarray(chunk) for chunk in chunks[:DISTINCT_CHUNKS]]


def errors(step: Any, chunks: Sequence[Array], exact: Array) -> tuple[float, float]:  # noqa: ANN401  any stepper
    """Stream chunks from zero state and return the root mean square and largest error against `exact`."""
    answers = np.concatenate([np.array(step(chunk)).reshape(-1, exact.shape[1]) for chunk in chunks])
    difference = answers - exact
    return float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max())


def part_of(progress: Progress | None, done: int, count: int) -> Progress | None:
    """Return the progress of run `done` of `count`."""
    return None if progress is None else lambda share: progress((done + share) / count)


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = _parser().parse_args(arguments)
    settings = Settings(options.cases, options.steps, options.isa, options.calls)
    try:
        with bar("measuring") as progress:
            result = run(settings, progress)
        if options.json is not None:
            write_atomic(options.json, result.to_json().encode())
    except (TidegateError, OSError) as error:
        sys.exit(f"speed: error: {error}")
    if options.markdown:
        sys.stdout.write(to_markdown(result))
    else:
        render(result)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.benchmarks.speed",
        description="The engine beside onnxruntime's int8 LSTM: one core, in turns, batch 1, state carried.",
        epilog="example: python -m tidegate.benchmarks.speed --cases A,B --steps 1 --isa avx512_vnni,avx2",
    )
    names = ", ".join(map(str, lstms.CASES.values()))
    default = Settings()
    parser.add_argument("--cases", type=_cases, default=default.cases, metavar="A,B", help=f"sizes: {names}")
    parser.add_argument("--steps", type=_counts, default=default.steps, metavar="1,16", help="frames a call")
    parser.add_argument("--isa", type=_isa, default=default.isa, metavar="NAME,...", help="variants; default: the best")
    parser.add_argument("--calls", type=_count, default=default.calls, help="calls of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    return parser


def _cases(text: str) -> tuple[lstms.Case, ...]:
    unknown = [name for name in text.split(",") if name not in lstms.CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case {', '.join(unknown)}; there are {', '.join(lstms.CASES)}")
    return tuple(lstms.CASES[name] for name in text.split(","))


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(_count(part) for part in text.split(","))
    if max(counts) > STREAM_FRAMES:
        raise argparse.ArgumentTypeError(f"at most {STREAM_FRAMES}, the frames of the stream")
    return counts


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _isa(text: str) -> tuple[str | None, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    main()
