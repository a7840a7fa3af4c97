"""The accuracy of real models after quantization by tidegate, torch and onnxruntime: the same data, the same figures.

`python -m tidegate.benchmarks.accuracy` prints a table for each model. The model is exported from its trained module,
quantized, and streamed over recordings. The table has the figures by which users judge such a model, and their goals.
torch and onnxruntime quantize to dynamic int8.
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
from ..quant.observing.ranges import RANGE_RULES
from ..runtime.arrays import Array, Floats
from ..runtime.graph.graph import Graph
from ..runtime.graph.initial_states import initial_states
from ..runtime.load import load
from .measuring.environment import observe_engine
from .peers import onnxruntime, pytorch
from .peers.job import CannotRunError
from .tables import Table, show
from .tasks import NAMES, find
from .tasks.task import DEFAULT_DATA, Answers, Goal, Task

EXAMPLE_FRAMES = 20
MODELS = f"Models to measure: {', '.join(NAMES)}. Default: all."
EXAMPLE = "python -m tidegate.benchmarks.accuracy watch speaker --json"


@dataclass(frozen=True)
class Score:
    """The figures of one model, quantized by one method.

    Attributes:
        task: The name of the model.
        contender: The name of the method.
        bytes: Size of the file; 0 if there is no file.
        figures: The figures by name.
        goals: The goals by the name of their figure.
        remark: A sentence about the method: why it cannot run, or which weights have more bits than asked for.
        seconds: Processor time of tidegate's quantization in seconds, all threads; 0 for other methods.
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
        """`stretch`, `must` or `missed`, the worst over all goals; empty if there are no goals."""
        found = {goal.met(self.figures[name]) for name, goal in self.goals.items()}
        return next((text for text in ("missed", "must", "stretch") if text in found), "")


def export(task: Task, target: Path) -> Path:
    """Export the module of a task, with a part of a recording as the example; return the file."""
    import torch

    stream = task.streams[0]
    middle = len(stream) // 2
    example = torch.from_numpy(stream[middle : middle + EXAMPLE_FRAMES][None].copy())
    task.module.eval()
    export_model(task.module, example, target)
    return target


def float_answers(task: Task) -> list[Array]:
    """Return the answers of the float module to each whole stream."""
    import torch

    with torch.no_grad():
        return [task.module(torch.from_numpy(frames)[None])[0].numpy() for frames in task.streams]


def streamed(path: Path, streams: Sequence[Floats]) -> list[Array]:
    """Return the engine's answers to each stream. A stream is pushed whole: the bits do not depend on the chunks."""
    model = load(path)
    return [np.asarray(model.stream().push(frames)) for frames in streams]


def scores(task: Task, folder: Path, *, ranges: bool = False) -> Iterator[Score]:
    """Give the scores of a task, each as soon as it is known.

    Args:
        task: The task.
        folder: Where to write files.
        ranges: Whether to compare the methods of choosing the ranges of activations. If not, tidegate's precisions are
            compared with torch and onnxruntime.
    """
    source, exact = export(task, folder / "float.onnx"), float_answers(task)
    yield Score(task.name, "float32", source.stat().st_size, task.figures(exact, exact))
    peers: dict[str, Callable[[], Answers]] = {
        "torch int8": lambda: torch_answers(task),
        "onnxruntime int8": lambda: _onnxruntime(source, folder, task),
    }
    for name, answers in peers.items() if not ranges else ():
        try:
            yield Score(task.name, name, 0, task.figures(answers(), exact), remark=_saturating(name))
        except CannotRunError as error:
            yield Score(task.name, name, 0, {}, remark=str(error))
    for name, options, goals in _with_ranges(task) if ranges else _with_precisions(task):
        started = process_time()
        report = quantize(source, folder / "q.onnx", **options)
        seconds = process_time() - started
        figures = task.figures(streamed(folder / "q.onnx", task.streams), exact)
        moved = ", ".join(f"{w.name} {w.precision}" for w in report.moved)
        yield Score(task.name, name, report.bytes, figures, goals, moved, seconds)


def _saturating(peer: str) -> str:
    """Say which peer has weights of 7 bits on this processor."""
    if peer.startswith("onnxruntime") and onnxruntime.products_saturate():
        return "weights of 7 bits, because its products with 8 saturate on this processor"
    return ""


def _with_precisions(task: Task) -> Iterator[tuple[str, dict[str, Any], dict[str, Goal]]]:
    """Give the name, the options of `quantize` and the goals for each precision of a task."""
    calibrated = {"calibration": task.calibration}
    yield "W8A16 nearest", {}, {}
    yield "W8A16", calibrated, task.goals
    if task.goals_per_channel:
        yield "W8A16 per channel", calibrated | {"extra": 0.0}, task.goals_per_channel
    if task.goals_4_bits:
        yield "W4A16g32", calibrated | {"precision": "W4A16g32"}, task.goals_4_bits
    if task.goals_16_bits:
        yield "W16A16", {"precision": "W16A16"}, task.goals_16_bits


def _with_ranges(task: Task) -> Iterator[tuple[str, dict[str, Any], dict[str, Goal]]]:
    """Give the name, the options of `quantize` and no goals for each method of choosing ranges; weights are nearest."""
    yield "W8A16 per frame", {}, {}
    yield "W8A8 per frame", {"precision": "W8A8"}, {}
    fixed = {"precision": "W8A8", "calibration": task.calibration, "method": "nearest", "extra": 0.0}
    for rule in RANGE_RULES:
        yield f"W8A8 {rule}", fixed | {"ranges": rule}, {}


def torch_answers(task: Task) -> list[Array]:
    """Return the answers of torch's dynamic int8 to each stream, with the state carried from call to call.

    Raises:
        CannotRunError: The module has no recurrent layer among its children, or torch leaves one in float.
    """
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
    """Let the recurrent layers of a quantized module carry their state from call to call; return the layers."""
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
        raise CannotRunError("the module has no recurrent layer among its direct children")
    return found


def _in_calls(push: Callable[[Floats], Any], frames: Floats, task: Task) -> Array:
    """Return the answers to a stream pushed in the task's chunks; if an output has no time axis, the last answer."""
    size = task.chunk or len(frames)
    answers = [np.asarray(push(frames[at : at + size])) for at in range(0, len(frames), size)]
    return answers[-1] if answers[0].ndim == 1 else np.concatenate(answers)


def _onnxruntime(source: Path, folder: Path, task: Task) -> list[Array]:
    from ..runtime.backends.onnxruntime_session import open_session
    from ..runtime.backends.onnxruntime_stream import OnnxruntimeStream

    graph = Graph.load(source)
    onnxruntime.quantize(source, folder / "theirs.onnx", ("LSTM",))
    session = open_session((folder / "theirs.onnx").read_bytes())
    initial = initial_states(graph, graph.contract)
    return [
        _in_calls(OnnxruntimeStream(session, graph.contract, initial, b"").push, frames, task)
        for frames in task.streams
    ]


def table(task: Task, made: Sequence[Score]) -> Table:
    """Return the table of a task, one row per score."""
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
    title = (
        f"{task.name}: torch and onnxruntime with {calls} per call, state carried; ours are the same with any chunks"
    )
    return Table(title, ["|", "bytes", *names, "goals", "core s"], cells, whole=True)


def _figure(row: Score, name: str) -> str:
    return f"{row.figures[name]:.5g}" if name in row.figures else "-"


def goals(made: Sequence[Score]) -> Iterator[str]:
    """Give a sentence for each goal."""
    for row in made:
        for name, goal in row.goals.items():
            sign = "within" if goal.about else "at least" if goal.least else "at most"
            about = f" of {goal.about:g}" if goal.about else ""
            yield f"{row.contender}: {name} {sign} {goal.must:g}{about}, better {goal.stretch:g}"


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=MODELS)] = None,
    data: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            show_default=False,
            help="The folder of weights and recordings; default: ../shared/data from the checkout.",
        ),
    ] = DEFAULT_DATA,
    ranges: Annotated[
        bool, typer.Option("--ranges", help="Compare the methods of choosing the ranges of activations.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the accuracy of real models after quantization, with goals.

    Each model is quantized by tidegate, torch and onnxruntime and streamed over recordings. All models take minutes.
    """
    if not data.is_dir():
        sys.exit(
            f"accuracy: error: {data}: there is no such folder; give the weights and recordings with --data FOLDER"
        )
    chosen, results = names or list(NAMES), []
    for name in chosen:
        if name not in NAMES:
            raise typer.BadParameter(f"there is no model {name!r}, wanted {', '.join(NAMES)}")
        task = find(name, data)
        with TemporaryDirectory(prefix="tidegate-") as folder:
            made = list(scores(task, Path(folder), ranges=ranges))
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
    app = typer.Typer(
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(epilog=f"\b\nExample:\n  {EXAMPLE}")(main)
    app(prog_name="python -m tidegate.benchmarks.accuracy")
