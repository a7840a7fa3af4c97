"""What quantization does to real models' answers: ours beside torch's and onnxruntime's own, on one protocol.

`python -m tidegate.benchmarks.accuracy` prints a table for each model: exported from its trained module, quantized,
streamed over recordings, judged by the figure its users judge it by, with goals. torch and onnxruntime: dynamic int8.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated, Any

import numpy as np
import typer

from ..export import export_model
from ..quant import quantize
from ..quant.observing.ranges import WAYS
from ..runtime.arrays import Array, Floats
from ..runtime.graph.graph import Graph
from ..runtime.load import load
from .measuring.environment import observe_engine
from .peers import onnxruntime, pytorch
from .peers.job import CannotRunError
from .tables import Table, show
from .tasks import NAMES, find
from .tasks.task import DEFAULT_DATA, Answers, Goal, Task

EXAMPLE_FRAMES = 20


@dataclass(frozen=True)
class Score:
    """One way to compute a model.

    Attributes:
        task: The model.
        contender: The way.
        bytes: Size of the file; 0 where there is none.
        figures: What came of it, by name.
        goals: What that was to reach, by name.
        remark: What else is to say, e.g. where bytes were spent.
        seconds: Processor time of the quantization, all threads; 0 where there was none of ours.
    """

    task: str
    contender: str
    bytes: int
    figures: dict[str, float]
    goals: dict[str, Goal] = field(default_factory=dict)
    remark: str = ""
    seconds: float = 0.0

    @property
    def met(self) -> str:
        """Return `stretch`, `must` or `missed`, the least over all goals; empty where there is none."""
        found = {goal.met(self.figures[name]) for name, goal in self.goals.items()}
        return next((text for text in ("missed", "must", "stretch") if text in found), "")


def export(task: Task, target: Path) -> Path:
    """Export the module of a task, with a piece of a recording as the example."""
    import torch

    stream = task.streams[0]
    middle = len(stream) // 2
    example = torch.from_numpy(stream[middle : middle + EXAMPLE_FRAMES][None].copy())
    task.module.eval()
    export_model(task.module, example, target)
    return target


def float_answers(task: Task) -> list[Array]:
    """Return what the module itself answers to each stream, whole."""
    import torch

    with torch.no_grad():
        return [task.module(torch.from_numpy(frames)[None])[0].numpy() for frames in task.streams]


def streamed(path: Path, streams: Sequence[Floats]) -> list[Array]:
    """Return the engine's answers; a stream pushed whole has the bits of one pushed frame by frame."""
    model = load(path)
    return [np.asarray(model.stream().push(frames)) for frames in streams]


def rows(task: Task, folder: Path, *, ranges: bool = False) -> Iterator[Score]:
    """Give the rows of a task, each as soon as it is there.

    Args:
        task: The task.
        folder: Where to write files.
        ranges: Whether activations are read in various ways, rather than beside torch and onnxruntime in various
            precisions.
    """
    source, exact = export(task, folder / "float.onnx"), float_answers(task)
    yield Score(task.name, "float32", source.stat().st_size, task.figures(exact, exact))
    peers: dict[str, Callable[[], Answers]] = {
        "torch int8": lambda: torch_answers(task),
        "onnxruntime int8": lambda: _onnxruntime(source, folder, task),
    }
    for name, answers in peers.items() if not ranges else ():
        try:
            yield Score(task.name, name, 0, task.figures(answers(), exact))
        except CannotRunError as error:
            yield Score(task.name, name, 0, {}, remark=str(error))
    for name, options, goals in _readings(task) if ranges else _ways(task):
        started = process_time()
        report = quantize(source, folder / "q.onnx", **options)
        seconds = process_time() - started
        figures = task.figures(streamed(folder / "q.onnx", task.streams), exact)
        moved = ", ".join(f"{w.name} {w.precision}" for w in report.moved)
        yield Score(task.name, name, report.bytes, figures, goals, moved, seconds)


def _ways(task: Task) -> Iterator[tuple[str, dict[str, Any], dict[str, Goal]]]:
    """Give the ways to quantize a task: names, options, goals."""
    calibrated = {"calibration": task.calibration}
    yield "W8A16 nearest", {}, {}
    yield "W8A16", calibrated, task.goals
    if task.goals_by_row:
        yield "W8A16 by row", calibrated | {"extra": 0.0}, task.goals_by_row
    if task.goals_4_bits:
        yield "W4A16g32", calibrated | {"precision": "W4A16g32"}, task.goals_4_bits
    if task.goals_16_bits:
        yield "W16A16", {"precision": "W16A16"}, task.goals_16_bits


def _readings(task: Task) -> Iterator[tuple[str, dict[str, Any], dict[str, Goal]]]:
    """Give the ways to read activations, weights rounded to nearest: names, options, no goals."""
    yield "W8A16 by frame", {}, {}
    yield "W8A8 by frame", {"precision": "W8A8"}, {}
    fixed = {"precision": "W8A8", "calibration": task.calibration, "method": "nearest", "extra": 0.0}
    for way in WAYS:
        yield f"W8A8 {way}", fixed | {"ranges": way}, {}


def torch_answers(task: Task) -> list[Array]:
    """Return what torch's dynamic int8 answers, state carried from call to call."""
    import torch

    module = pytorch.dynamic_int8(task.module)
    cells = _carrying(module)

    def push(frames: Floats) -> Array:
        answer: Array = module(torch.from_numpy(frames)[None])[0].numpy()
        return answer

    made = []
    with torch.no_grad():
        for frames in task.streams:
            for cell in cells:
                cell.state = None
            made.append(_in_calls(push, frames, task))
    return made


def _carrying(module: Any) -> list[Any]:  # noqa: ANN401  torch is not imported here
    """Let the recurrent layers of a quantized module begin where they ended; return them."""
    import torch

    class Carrying(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.layer, self.state = layer, None

        def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401  output and state
            y, self.state = self.layer(x, self.state)
            return y, self.state

    found = []
    for name, child in module.named_children():
        if type(child).__name__ in ("LSTM", "GRU"):
            setattr(module, name, Carrying(child))
            found.append(getattr(module, name))
    if not found:
        raise CannotRunError("the module has no recurrent layer of its own")
    return found


def _in_calls(push: Callable[[Floats], Any], frames: Floats, task: Task) -> Array:
    """Return the answers to a stream in calls of the task's size; of an output without a time axis the last."""
    size = task.chunk or len(frames)
    answers = [np.asarray(push(frames[at : at + size])) for at in range(0, len(frames), size)]
    return answers[-1] if answers[0].ndim == 1 else np.concatenate(answers)


def _onnxruntime(source: Path, folder: Path, task: Task) -> list[Array]:
    from ..runtime.backends.onnxruntime import OnnxruntimeStream
    from ..runtime.backends.onnxruntime_session import open_session

    graph = Graph.load(source)
    onnxruntime.quantize(source, folder / "theirs.onnx", ("LSTM",))
    session = open_session((folder / "theirs.onnx").read_bytes())
    return [_in_calls(OnnxruntimeStream(session, graph.contract, b"").push, frames, task) for frames in task.streams]


def table(task: Task, made: Sequence[Score]) -> Table:
    """Return the table of a task; goals stand behind figures, at least and better."""
    names = list(made[0].figures)
    cells = [
        [
            row.contender,
            str(row.bytes or "-"),
            *(_figure(row, name) for name in names),
            row.met or "-",
            f"{row.seconds:.1f}" if row.seconds else "-",
        ]
        for row in made
    ]
    calls = "a whole stream" if task.chunk == 0 else f"{task.chunk} frames"
    title = f"{task.name}: torch and onnxruntime with {calls} a call, state carried; ours whatever the calls"
    return Table(title, ["|", "bytes", *names, "goals", "core s"], cells, whole=True)


def _figure(row: Score, name: str) -> str:
    return f"{row.figures[name]:.5g}" if name in row.figures else "-"


def goals(made: Sequence[Score]) -> Iterator[str]:
    """Give what figures were to reach."""
    for row in made:
        for name, goal in row.goals.items():
            sign = "within" if goal.about else "at least" if goal.least else "at most"
            about = f" of {goal.about:g}" if goal.about else ""
            yield f"{row.contender}: {name} {sign} {goal.must:g}{about}, better {goal.stretch:g}"


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help=f"Of {', '.join(NAMES)}.")] = None,
    data: Annotated[Path, typer.Option(help="The folder of weights and recordings.")] = DEFAULT_DATA,
    ranges: Annotated[bool, typer.Option("--ranges", help="Compare the ways to read activations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what quantization does to the answers of real models, with goals: (at least, better)."""
    if not data.is_dir():
        sys.exit(f"accuracy: there is no folder {data}; --data FOLDER says where weights and recordings are")
    chosen, results = names or list(NAMES), []
    for name in chosen:
        if name not in NAMES:
            raise typer.BadParameter(f"{name!r} is no model, wanted {', '.join(NAMES)}")
        task = find(name, data)
        with TemporaryDirectory(prefix="tidegate-") as folder:
            made = list(rows(task, Path(folder), ranges=ranges))
        results += made
        if not as_json:
            show(table(task, made), *goals(made), *(f"{row.contender}: {row.remark}" for row in made if row.remark))
    machine = observe_engine(None)
    if as_json:
        typer.echo(json.dumps({"environment": asdict(machine), "rows": [_fields(row) for row in results]}, indent=1))
    else:
        show(f"Machine: {machine.summary()}.")


def _fields(row: Score) -> dict[str, Any]:
    return asdict(row) | {"met": row.met}


if __name__ == "__main__":
    typer.run(main)
