"""How near the engine is to what the machine allows: `python -m tidegate.benchmarks.bounds`.

The engine is timed in C beside two bounds taken in the same run: reading the weight bytes, and the integer
multiply-adds at the peak rate, both with the variant's own instruction set. Then what Python's `push` adds to the
call in C. With `--cells` one layer of each recurrent cell instead, whose goal is the LSTM's own ratio of the same run;
with `--whole` whole small nets beside the sum of their layers and the bytes of their other weights; with `--streams`
groups beside the multiply-adds and beside as many streams pushed one by one. It compiles `benchmarks/engine.c` with
the kernels, so it needs a checkout and a C compiler.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..quant import quantize
from ..runtime.arrays import Floats
from ..runtime.backends.native import NativeModel
from ..runtime.errors import TidegateError
from ..runtime.files import write_atomic
from ..runtime.graph.graph import Graph
from ..runtime.load import compile_graph
from .measuring.engine_times import CALLS, Row, build, mac_us, time_group, time_plan
from .measuring.environment import observe
from .measuring.turns import in_turns, pinned
from .nets import single_cells, stacks, whole_nets
from .showing.speed_tables import verdict
from .tables import Table, micro, show

BITS = (16, 8)  # most bits of activations
GOALS_OF = "avx512_vnni"  # the goals of times in C were set on this variant; others have none
# Time over the larger bound: at most, stretch. `push` over the C call in us: a fresh array, `out=`.
RATIO_GOALS = {"A": (1.6, 1.35), "B": (1.4, 1.22), "C": (1.4, 1.22), "D": (1.4, 1.22)}
WHOLE_GOAL = (1.15, 1.0)  # of a whole net, over its layers and the bytes of its other weights
STREAMS = (8, 16, 32, 64)  # in one step
# A stream's part of a step over the multiply-adds of one, by case and activation bits; one by one over together.
STREAMS_GOALS = {("A", 16): (1.6, 1.32), ("B", 16): (1.3, 1.14), ("A", 8): (2.1, 1.7), ("B", 8): (1.6, 1.3)}
GAIN_GOAL = (1.3, 1.45)  # with 8-bit activations; with 16 the multiply-adds are the limit alone as well
PUSH_GOALS = {"fresh array": (0.8, 0.2), "out=": (0.35, 0.12)}


def save_plan(case: stacks.Case, bits: int, folder: Path) -> Path:
    """Write the plan of a case and return its file."""
    layers = stacks.random_layers(case)
    stacks.save_model(layers, folder / "float.onnx")
    quantize(folder / "float.onnx", folder / "int8.onnx", precision=f"W8A{bits}")
    target = folder / f"{case.name}.{bits}.tide"
    write_atomic(target, compile_graph(Graph.load(folder / "int8.onnx")))
    return target


def macs(case: stacks.Case) -> int:
    """Return the multiply-adds of one step."""
    widths = [case.features, *[case.hidden] * (case.layers - 1)]
    return sum(4 * case.hidden * (width + case.hidden) for width in widths)


def time_case(command: Sequence[str], case: stacks.Case, bits: int, steps: int) -> Row:
    """Time one case of LSTMs; `command` is program, plan, variant."""
    return time_plan(command, (case.name, macs(case)), bits, steps)


def python_overhead(plan: Path, isa: str, c_us: float) -> dict[str, float]:
    """Return what `push` of one frame adds to the call in C, in microseconds, by how it is called."""
    model = NativeModel(plan.read_bytes(), isa)
    fresh, into = model.stream(), model.stream()
    chunk: Floats = np.random.default_rng(0).standard_normal((1, 40), np.float32)
    out = np.empty((1, 128), np.float32)
    ways = {"fresh array": fresh.push, "out=": lambda frame: into.push(frame, out=out)}
    empty, *timed = in_turns([lambda _: None, *ways.values()], [chunk], calls=20_000)
    return {name: one - empty - c_us for name, one in zip(ways, timed, strict=True)}


def tables(rows: Sequence[Row], overhead: dict[str, float], isa: str) -> list[Table]:
    """Return the tables to print."""
    cells = [
        [
            row.case,
            f"W8A{row.bits}",
            str(row.steps),
            f"{micro(row.push_us)}/{micro(row.p999_us)}",
            f"{micro(row.read_us)}/{micro(row.read_p999_us)}",
            micro(row.macs_us),
            f"{row.ratio:.2f}",
            _judged(row.ratio, RATIO_GOALS[row.case], isa) if row.bits == 16 else "-",
            f"{row.silence_us / row.push_us:.2f}",
        ]
        for row in rows
    ]
    columns = ["case|", "engine|", "T", "push", "read", "macs", "ratio", "goal|", "silence"]
    added = [[how, f"{us:.2f}", verdict(-us, _negative(PUSH_GOALS[how]))] for how, us in overhead.items()]
    return [
        Table("Microseconds a push in C, and its bounds; median/p99.9", columns, cells, whole=True),
        Table("Microseconds that Python's push adds, 40->128, one frame", ["answer|", "us", "goal|"], added),
    ]


def _judged(ratio: float, most: tuple[float, float], isa: str) -> str:
    """Return whether a ratio is small enough; a dash for a variant that has no goals."""
    return verdict(-ratio, _negative(most)) if isa == GOALS_OF else "-"


def _negative(goals: tuple[float, float]) -> tuple[float, float]:
    return -goals[0], -goals[1]


def run(cases: Sequence[stacks.Case], isa: str | None) -> list[Any]:
    """Measure and return what to show."""
    with pinned() as core, TemporaryDirectory(prefix="tidegate-") as name:
        folder = Path(name)
        program = str(build(folder))
        plans = {(case.name, bits): save_plan(case, bits, folder) for case in cases for bits in BITS}
        chosen = NativeModel(next(iter(plans.values())).read_bytes(), isa).isa
        environment = observe((chosen,), core)
        rows = [
            time_case([program, str(plans[case.name, bits]), chosen], case, bits, steps)
            for case in cases
            for bits in BITS
            for steps in CALLS
        ]
        first = stacks.CASES["A"]
        plan = plans.get(("A", 16)) or save_plan(first, 16, folder)
        c_us = time_case([program, str(plan), chosen], first, 16, 1).push_us
        overhead = python_overhead(plan, chosen, c_us)
    sizes = ", ".join(str(case) for case in cases)
    note = (
        f"{sizes}. read: loading every weight byte, the input part once a push, the recurrent part at each step. "
        f"macs: the multiply-adds at the peak rate of {rows[0].peak}. ratio: push over the larger. "
        "silence: a push of zeros over one of noise."
    )
    return [*tables(rows, overhead, chosen), note, f"Machine: {environment.summary()}.", *environment.warnings()]


def run_cells(isa: str | None) -> list[Any]:
    """Measure one layer of each cell at W8A16 and return what to show."""
    with pinned() as core, TemporaryDirectory(prefix="tidegate-") as name:
        folder = Path(name)
        program, target = str(build(folder)), folder / "cell.tide"
        rows: list[Row] = []
        for case in single_cells.CASES:
            write_atomic(target, single_cells.plan_of(case))
            chosen = NativeModel(target.read_bytes(), isa).isa
            command = [program, str(target), chosen]
            rows += [time_plan(command, (case.name, case.macs), 16, steps) for steps in CALLS]
        environment = observe((chosen,), core)
    note = "A is 40->128, B 100->256, W8A16. against LSTM: its ratio over the LSTM's at the same size and T."
    return [cells_table(rows), note, f"Machine: {environment.summary()}.", *environment.warnings()]


def cells_table(rows: Sequence[Row]) -> Table:
    """Return each cell's time, bounds and ratio, and that ratio over the LSTM's."""
    own = {(row.case.rpartition(" ")[2], row.steps): row.ratio for row in rows if row.case.startswith("LSTM")}
    lines = [
        [
            row.case,
            str(row.steps),
            *map(micro, (row.push_us, row.read_us, row.macs_us)),
            f"{row.ratio:.2f}",
            f"{row.ratio / own[row.case.rpartition(' ')[2], row.steps]:.2f}",
        ]
        for row in rows
    ]
    columns = ["cell|", "T", "push", "read", "macs", "ratio", "against LSTM"]
    return Table("Microseconds a push in C, one layer of each cell, and its bounds", columns, lines, whole=True)


def run_whole(isa: str | None) -> list[Any]:
    """Measure whole nets and their parts and return what to show."""
    with pinned() as core, TemporaryDirectory(prefix="tidegate-") as name:
        program, target = str(build(Path(name))), Path(name) / "net.tide"
        chosen = NativeModel(whole_nets.nets()[0].whole, isa).isa

        def timed(plan: bytes, steps: int, macs: int = 0) -> Row:
            write_atomic(target, plan)
            return time_plan([program, str(target), chosen], ("", macs), 16, steps)

        lines = [whole_line(net, steps, timed, chosen) for net in whole_nets.nets() for steps in CALLS]
        environment = observe((chosen,), core)
    note = (
        "layers: the recurrent layers, each alone. bytes: reading the weights of the linear layers; macs: their "
        "multiply-adds at the peak rate. ratio: whole over layers and bytes; to work: over layers and the larger of "
        "bytes and macs, less than which no W8A16 net can take."
    )
    columns = ["net|", "T", "whole", "layers", "bytes", "macs", "ratio", "goal|", "to work"]
    found = Table("Microseconds a push in C of a whole net, and its bound", columns, lines, whole=True)
    return [found, note, f"Machine: {environment.summary()}.", *environment.warnings()]


def whole_line(net: whole_nets.Net, steps: int, timed: Callable[..., Row], isa: str) -> list[str]:
    """Return the cells of a whole net: its time, its bounds, its ratios."""
    layers = sum(timed(plan, steps).push_us for plan in net.layers)
    others, push = timed(net.others, steps, whole_nets.LINEAR_MACS), timed(net.whole, steps).push_us
    ratio, work = push / (layers + others.read_us), push / (layers + max(others.read_us, others.macs_us))
    figures = [micro(us) for us in (push, layers, others.read_us, others.macs_us)]
    return [net.name, str(steps), *figures, f"{ratio:.2f}", _judged(ratio, WHOLE_GOAL, isa), f"{work:.2f}"]


def run_streams(isa: str | None) -> list[Any]:
    """Measure groups and return what to show."""
    with pinned() as core, TemporaryDirectory(prefix="tidegate-") as name:
        folder = Path(name)
        program = str(build(folder))
        lines: list[list[str]] = []
        for case, bits in STREAMS_GOALS:
            plan = save_plan(stacks.CASES[case], bits, folder)
            chosen = NativeModel(plan.read_bytes(), isa).isa
            for rows in STREAMS:
                times = time_group([program, str(plan), chosen], rows)
                lines.append(streams_line(case, bits, rows, times, chosen))
        environment = observe((chosen,), core)
    note = (
        "together: a stream's part of a push of one frame for each; one by one: as many streams pushed alone. "
        f"macs: the multiply-adds at the peak rate of {times['peak']}. ratio: together over macs. "
        "gain: one by one over together."
    )
    columns = ["case|", "engine|", "streams", "together", "one by one", "macs", "ratio", "goal|", "gain", "goal|"]
    found = Table("Microseconds a stream-step in C", columns, lines, whole=True)
    return [found, note, f"Machine: {environment.summary()}.", *environment.warnings()]


def streams_line(case: str, bits: int, rows: int, times: Mapping[str, Any], isa: str) -> list[str]:
    """Return the line of a group from its times in nanoseconds."""
    together, alone = times["group_ns"] / rows / 1e3, times["alone_ns"] / rows / 1e3
    bound = mac_us(times, bits) * macs(stacks.CASES[case])
    figures = [micro(us) for us in (together, alone, bound)]
    ratio, gain = together / bound, alone / together
    reached = _judged(ratio, STREAMS_GOALS[case, bits], isa)
    faster = verdict(gain, GAIN_GOAL if bits == 8 and isa == GOALS_OF else None)
    return [case, f"W8A{bits}", str(rows), *figures, f"{ratio:.2f}", reached, f"{gain:.2f}", faster]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.benchmarks.bounds", description=__doc__)
    parser.add_argument("--isa", metavar="NAME", help="variant of the engine (default: TIDEGATE_ISA, else the best)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--cases", default=",".join(stacks.CASES), metavar="A,B", help="sizes (default: all)")
    what.add_argument("--cells", action="store_true", help="one layer of each recurrent cell instead")
    what.add_argument("--whole", action="store_true", help="whole small nets instead")
    what.add_argument("--streams", action="store_true", help="8 to 64 streams in one step instead")
    options = parser.parse_args(arguments)
    try:
        if options.whole:
            show(*run_whole(options.isa))
        elif options.streams:
            show(*run_streams(options.isa))
        elif options.cells:
            show(*run_cells(options.isa))
        else:
            show(*run([stacks.CASES[name] for name in options.cases.split(",")], options.isa))
    except (TidegateError, OSError, subprocess.CalledProcessError, KeyError) as error:
        sys.exit(f"bounds: error: {error}")


if __name__ == "__main__":
    main()
