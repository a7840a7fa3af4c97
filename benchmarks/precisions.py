"""What each precision costs and errs by, beside W8A16: `python -m tidegate.benchmarks.precisions`.

The LSTM stacks of `speed`, every precision in turns on one core in one run. Two goals are marked: integers are
never slower than floats of our own, and a scale for each 32 inputs costs at most 15 %.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..quant import quantize
from ..runtime.errors import TidegateError
from ..runtime.graph import Graph
from ..runtime.model import compile_graph
from ..runtime.native import NativeModel
from . import lstms
from .environment import observe
from .latency import Contender, Progress, measure, pinned, times_faster
from .progress import bar
from .speed import chunks_of, errors, part_of
from .tables import Table, micro, show

BASE = "W8A16"
PRECISIONS = (
    BASE, "W8A16g32", "W8A16g8", "W8A8", "W8A8g32", "W4A16", "W4A16g32", "W4A8", "W4A8g32", "W16A16", "float32",
)  # fmt: skip
GROUPED = {"W8A16g32": BASE, "W8A8g32": "W8A8", "W4A16g32": "W4A16", "W4A8g32": "W4A8"}  # beside one scale a row
MOST_FOR_GROUPS = 1.15


@dataclass(frozen=True)
class Row:
    """One precision in one case.

    Attributes:
        case: Sizes.
        steps: Frames of a call.
        precision: Bits of weights and activations.
        p50_us: Median of a call in microseconds.
        block_medians_us: The median of each turn.
        plan_bytes: Size of the compiled plan.
        error_rms: Root mean square difference to float64 over a stream.
    """

    case: str
    steps: int
    precision: str
    p50_us: float
    block_medians_us: tuple[float, ...]
    plan_bytes: int
    error_rms: float
    isa: str


def run_case(case: lstms.Case, steps: int, calls: int, isa: str | None, progress: Progress | None) -> list[Row]:
    """Measure every precision of one case."""
    layers = lstms.random_layers(case)
    chunks, exact = chunks_of(case, layers, steps)
    plans: list[bytes] = []
    contenders, found = [], []
    with TemporaryDirectory(prefix="tidegate-") as name:
        source, target = Path(name) / "float.onnx", Path(name) / "quantized.onnx"
        lstms.save_model(layers, source)
        for precision in PRECISIONS:
            quantize(source, target, precision=precision)
            plans.append(compile_graph(Graph.load(target)))
            model = NativeModel(plans[-1], isa)
            found.append(errors(model.stream().push, chunks, exact)[0])
            contenders.append(Contender(precision, model.stream().push, chunks[:100]))
    timed = measure(contenders, calls=calls, progress=progress)
    for text in timed.warnings():
        sys.stderr.write(f"warning: {case.name} T={steps} {text}\n")
    return [
        Row(str(case), steps, one.name, one.p50_us, one.block_medians_us, len(plan), error, model.isa)
        for one, plan, error in zip(timed.latencies, plans, found, strict=True)
    ]


def table(rows: Sequence[Row]) -> Table:
    """Return a line for each precision: time, time over that of W8A16, plan size, error."""
    base = {(row.case, row.steps): row for row in rows if row.precision == BASE}
    lines = []
    for row in rows:
        own = base[row.case, row.steps]
        slower = times_faster(own.block_medians_us, row.block_medians_us)
        size = f"{row.plan_bytes / 1024:.0f}"
        lines.append([row.case, str(row.steps), row.precision, micro(row.p50_us), f"{slower:.2f}", size,
                      f"{row.error_rms:.1e}"])  # fmt: skip
    columns = ["case|", "T", "precision|", "us", f"/ {BASE}", "plan, KiB", "rms error"]
    return Table("Microseconds a call, median", columns, lines, whole=True)


def goals(rows: Sequence[Row]) -> list[str]:
    """Say whether integers are never slower than floats, and what groups cost."""
    by_key = {(row.case, row.steps, row.precision): row for row in rows}

    def ratio(row: Row, precision: str) -> float:
        return times_faster(by_key[row.case, row.steps, precision].block_medians_us, row.block_medians_us)

    integers = max(ratio(row, "float32") for row in rows if row.precision != "float32")
    grouped = [ratio(row, GROUPED[row.precision]) for row in rows if row.precision in GROUPED]
    groups = f"{min(grouped):.2f} to {max(grouped):.2f} times one scale a row, at most {MOST_FOR_GROUPS:g} wanted"
    return [
        f"Integers take at most {integers:.2f} of the time of float32: {_verdict(integers, 1)}.",
        f"Groups of 32 take {groups}: {_verdict(max(grouped), MOST_FOR_GROUPS)}.",
    ]


def _verdict(value: float, most: float) -> str:
    return "reached" if value <= most else "short"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.benchmarks.precisions", description=__doc__)
    parser.add_argument("--cases", default=",".join(lstms.CASES), metavar="A,B", help="sizes (default: all)")
    parser.add_argument("--steps", default="1,16", metavar="1,16", help="frames a call (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=3000, help="calls of each (default: %(default)s)")
    parser.add_argument("--isa", metavar="NAME", help="variant of the engine (default: the best)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args(arguments)
    try:
        cases = [lstms.CASES[name] for name in options.cases.split(",")]
        runs = [(case, int(steps)) for case in cases for steps in options.steps.split(",")]
        with pinned() as core, bar("measuring") as progress:
            rows = [
                row
                for done, (case, steps) in enumerate(runs)
                for row in run_case(case, steps, options.calls, options.isa, part_of(progress, done, len(runs)))
            ]
            environment = observe((rows[0].isa,), core)
    except (TidegateError, OSError, KeyError, ValueError) as error:
        sys.exit(f"precisions: error: {error}")
    notes = [*goals(rows), f"Machine: {environment.summary()}.", *environment.warnings()]
    if options.markdown:
        sys.stdout.write("\n\n".join([table(rows).to_markdown(), *notes]) + "\n")
    else:
        show(table(rows), *notes)


if __name__ == "__main__":
    main()
