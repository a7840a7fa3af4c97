"""The time and error of each precision compared with W8A16: `python -m tidegate.benchmarks.precisions`.

It measures the LSTM stacks of `speed`. All precisions take turns on one core in one run. The output says whether two
goals are reached: integer weights are never slower than float32 ones, and one scale per 32 inputs costs at most 15 %.
"""

import sys
from collections.abc import Sequence
from itertools import groupby

from ..runtime.errors import TidegateError
from .measuring.results import Row
from .measuring.turns import times_faster
from .nets import stacks
from .peers.job import Variant
from .progress import bar
from .speed import measured, parser, settings_of
from .tables import Table, micro, show

BASE = "W8A16"
PRECISIONS = (
    BASE, "W8A16g32", "W8A16g8", "W8A8", "W8A8g32", "W4A16", "W4A16g32", "W4A8", "W4A8g32", "W16A16", "float32",
)  # fmt: skip
GROUPED = {
    "W8A16g32": BASE,
    "W8A8g32": "W8A8",
    "W4A16g32": "W4A16",
    "W4A8g32": "W4A8",
}  # the same with one scale per channel
MOST_FOR_GROUPS = 1.15


def table(rows: Sequence[Row]) -> Table:
    """Return a table with one row per case, chunk size and precision: time, time / W8A16's time, plan size, error."""
    lines = [line for _, group in groupby(rows, lambda row: (row.case, row.steps)) for line in _lines(list(group))]
    columns = ["case|", "T", "precision|", "us", f"/ {BASE}", "plan, KiB", "rms error"]
    return Table("Median microseconds per call", columns, lines, whole=True)


def _lines(group: Sequence[Row]) -> list[list[str]]:
    base = next(row for row in group if row.precision == BASE)
    return [
        [
            str(stacks.CASES.get(row.case, row.case)),
            str(row.steps),
            row.precision,
            micro(row.p50_us or 0),
            f"{times_faster(base.turns_us, row.turns_us):.2f}",
            f"{(row.file_bytes or 0) / 1024:.0f}",
            f"{row.error_rms or 0:.1e}",
        ]
        for row in group
    ]


def goals(rows: Sequence[Row]) -> list[str]:
    """Return two sentences: whether integers are never slower than floats, and what groups cost."""
    by_key = {(row.case, row.steps, row.precision): row for row in rows}

    def ratio(row: Row, precision: str) -> float:
        return times_faster(by_key[row.case, row.steps, precision].turns_us, row.turns_us)

    integers = max(ratio(row, "float32") for row in rows if row.precision != "float32")
    grouped = [ratio(row, GROUPED[row.precision]) for row in rows if row.precision in GROUPED]
    groups = f"{min(grouped):.2f} to {max(grouped):.2f} times as long as one scale per channel"
    return [
        f"Integers take at most {integers:.2f} of the time of float32: {_verdict(integers, 1)}.",
        f"Groups of 32 take {groups}, wanted at most {MOST_FOR_GROUPS:g}: {_verdict(max(grouped), MOST_FOR_GROUPS)}.",
    ]


def _verdict(value: float, most: float) -> str:
    return "reached" if value <= most else "short"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parser(
        "precisions",
        "Compare the time and error of each precision with W8A16, on stacks of LSTMs.",
        "python -m tidegate.benchmarks.precisions --cases A --steps 1",
    ).parse_args(arguments)
    try:
        with bar("measuring") as progress:
            ours = [Variant(precision, f"push {options.isa[0]}") for precision in PRECISIONS]
            result = measured(options.cases, options.steps, {"tidegate": ours}, settings_of(options), progress)
        if options.json is not None:
            result.save(options.json)
    except (TidegateError, OSError) as error:
        sys.exit(f"precisions: error: {error}")
    notes = [*goals(result.rows), f"Machine: {result.environment.summary()}.", *result.warnings]
    if options.markdown:
        sys.stdout.write("\n\n".join([table(result.rows).to_markdown(), *notes]) + "\n")
    else:
        show(table(result.rows), *notes)


if __name__ == "__main__":
    main()
