"""The engine in Node and in Chromium next to onnxruntime-web: `python -m tidegate.benchmarks.browser`.

One frame a push, batch 1, state carried, in turns on one core. tidegate pushes into an array that is there;
onnxruntime-web runs its WebAssembly backend on one thread, floats and its own int8 LSTM. The engine without them, by
Python, runs before and after. Start counts from nothing to the first answer, in a fresh process or page. With
`--worklet 60` a net of an amplifier plays for a minute in an AudioWorklet of Chromium instead.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..runtime.errors import TidegateError
from .measuring.environment import observe
from .measuring.turns import pinnable
from .suites import in_browsers
from .suites.in_browsers import FLOAT, INT8, Row, Worklet
from .tables import Table, show

GOALS = {"A": 8.0, "B": 3.3}  # times onnxruntime-web's better one
MOST_NATIVE = 3.0  # times the engine's own time without a browser


def table(rows: Sequence[Row]) -> Table:
    """Return the table: for each place and contender start, microseconds a push and error of each case."""
    cases = list(dict.fromkeys(row.case for row in rows))
    titles = [f"{case} {what}" for case in cases for what in ("least", "median", "error", "start ms")]
    names = dict.fromkeys((row.place, row.contender) for row in rows)
    found = {(row.place, row.contender, row.case): row for row in rows}
    lines = [
        [f"{place}: {name}", *(cell for case in cases for cell in _cells(found[place, name, case]))]
        for place, name in names
    ]
    return Table(
        "Microseconds a push of one frame, the least and the median mean of a turn", ["|", *titles], lines, whole=True
    )


def _cells(row: Row) -> list[str]:
    alone = row.place == "python"
    times = [f"{row.least:.1f}", f"{row.median:.1f}"]
    return [*times, *(("-", "-") if alone else (f"{row.error:.1e}", f"{row.start:.0f}"))]


def verdicts(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for each place and case: how many times faster than onnxruntime-web, and than itself."""
    least = {(row.place, row.contender, row.case): row.least for row in rows}
    said = []
    for (place, name, case), ours in least.items():
        if name != f"tidegate {in_browsers.PRECISIONS[0]}":
            continue
        theirs = min(least[place, rival, case] for rival in (FLOAT, INT8))
        native = min(value for (where, _, one), value in least.items() if where == "python" and one == case)
        goal = f"goals at least {GOALS[case]:g} and at most {MOST_NATIVE:g}" if case in GOALS else "no goal"
        said.append(
            f"{place}, {case}: {theirs / ours:.1f} times faster than onnxruntime-web's better one, "
            f"{ours / native:.1f} times the engine without it ({goal})."
        )
    return said


def size_table(found: Sequence[tuple[str, int, int]]) -> Table:
    """Return the table of what a page fetches."""
    lines = [[name, f"{plain:,}", f"{zipped:,}"] for name, plain, zipped in found]
    return Table("Bytes that a page fetches to run any model", ["|", "bytes", "gzipped"], lines, whole=True)


def _played(seen: Worklet) -> str:
    told = "not told" if seen.underruns is None else seen.underruns
    block = (
        f"{seen.block_us:.0f} us for a block of {in_browsers.BLOCK} samples, {100 * seen.share:.1f} % of its deadline"
    )
    live = f"{seen.seconds:.0f} s live: {seen.blocks:,} blocks, {seen.refused} refused, underruns {told}"
    return f"LSTM 1 -> 32 in an AudioWorklet of Chromium: {block} (goal at most 5 %); {live}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.benchmarks.browser", description=__doc__)
    parser.add_argument("--cases", default="A,B", metavar="NAMES", help="cases of stacks (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=60, metavar="N", help="turns of each (default: %(default)s)")
    parser.add_argument("--isa", default="avx2", help="the engine's variant beside them (default: %(default)s)")
    parser.add_argument("--worklet", type=float, metavar="SECONDS", help="play in an AudioWorklet instead")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    options = parser.parse_args(arguments)
    environment = observe((options.isa, "wasm_simd128"), pinnable())
    try:
        with TemporaryDirectory(prefix="tidegate-") as folder:
            if options.worklet is not None:
                show(_played(in_browsers.worklet(Path(folder), options.worklet)), *environment.warnings())
                return
            rows = in_browsers.measure(Path(folder), options.cases.split(","), options.turns, options.isa)
            tables = [table(rows), size_table(list(in_browsers.sizes(Path(folder))))]
    except (TidegateError, OSError) as error:
        sys.exit(f"browser: error: {error}")
    said = [*verdicts(rows), *environment.warnings(), f"Machine: {environment.summary()}."]
    if options.markdown:
        sys.stdout.write("\n\n".join([*(one.to_markdown() for one in tables), " ".join(said)]) + "\n")
    else:
        show(*tables, *said)


if __name__ == "__main__":
    main()
