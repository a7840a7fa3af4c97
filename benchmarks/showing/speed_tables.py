"""The tables that `speed` prints: times, how many times faster tidegate is, and errors."""

from collections.abc import Callable, Iterable, Iterator

from ..measuring.results import Result, Row
from ..measuring.turns import times_faster
from ..nets import stacks
from ..tables import Table, micro, show

PEER = "onnxruntime"
PRECISIONS = ("W8A16", "W8A8", "W4A8")
# Goals by precision and frames per call (at least, stretch): times faster than onnxruntime's int8 LSTM by IOBinding.
WITH_VNNI = {
    ("W8A16", 1): {"A": (5.5, 7.5), "B": (2.8, 3.3), "C": (2.1, 2.35), "D": (1.45, 1.6)},
    ("W8A16", 16): {"A": (1.6, 1.8), "B": (1.15, 1.22), "C": (1.15, 1.31), "D": (1.05, 1.16)},
    ("W8A8", 1): {"A": (6.0, 8.0), "B": (2.9, 3.4), "C": (2.1, 2.4), "D": (1.45, 1.6)},
    ("W8A8", 16): {"A": (2.0, 2.3), "B": (1.35, 1.45), "C": (1.25, 1.35), "D": (1.0, 1.1)},
    ("W4A8", 1): {"B": (3.5, 4.5), "C": (3.2, 4.0), "D": (2.2, 2.7)},
    ("W4A8", 16): {"B": (1.6, 1.9), "C": (1.5, 1.8), "D": (1.4, 1.75)},
}
WITH_AVX2 = {
    ("W8A16", 1): {"A": (5.65, 6.3), "B": (2.63, 2.9), "C": (1.71, 1.9), "D": (1.22, 1.36)},
    ("W8A16", 16): {"A": (1.26, 1.4), "B": (0.92, 1.02), "C": (0.84, 0.93), "D": (0.95, 1.06)},
    ("W8A8", 1): {"A": (6.2, 6.9), "B": (2.9, 3.3), "C": (1.87, 2.1), "D": (1.27, 1.42)},
    ("W8A8", 16): {"A": (1.38, 1.54), "B": (1.0, 1.12), "C": (0.92, 1.02), "D": (1.05, 1.17)},
    ("W4A8", 1): {"A": (6.9, 7.7), "B": (3.7, 4.1), "C": (2.36, 2.6), "D": (1.8, 2.0)},
    ("W4A8", 16): {"A": (1.6, 1.78), "B": (1.23, 1.37), "C": (1.15, 1.28), "D": (1.54, 1.72)},
}
# By the best variant of a machine: onnxruntime uses VNNI too where there is VNNI. A lesser variant has no goals there.
GOALS = {"avx512_vnni": WITH_VNNI, "avx_vnni": WITH_VNNI, "avx2": WITH_AVX2}
RUN_GOAL = ("B", 1, 2.0)  # case B, one frame per call: at least 2 times faster than onnxruntime's `run`


def verdict(ratio: float, goals: tuple[float, float] | None) -> str:
    """Return `short`, `reached` or `stretch`; a dash if there is no goal.

    Args:
        ratio: How many times faster tidegate is.
        goals: The ratio for `reached` and the one for `stretch`.
    """
    if goals is None:
        return "-"
    least, stretch = goals
    return "stretch" if ratio >= stretch else "reached" if ratio >= least else "short"


def tables(result: Result) -> Iterator[Table]:
    """Give the tables of a result: times, ratios, ratios of the engine's variants if there are several, errors."""

    def times(row: Row) -> str:
        return f"{micro(row.p50_us or 0)} / {micro(row.p999_us or 0)}"

    yield _wide("Microseconds per call, median / p99.9", result, times)
    yield Table(
        "Times faster than onnxruntime int8, median over turns",
        ["case|", "T", "engine|", "IOBinding", "at least", "stretch", "goal|", "run"],
        [cells for group in _groups(result.rows) for cells in _ratios(group, result)],
    )
    if len(result.environment.isa) > 1:
        first = result.environment.isa[0]
        rows = [cells for group in _groups(result.rows) for cells in _variants(group, first, result)]
        yield Table(f"Time / time of {first}, median over turns", ["case|", "T", "engine|", "ratio"], rows)
    yield _wide("Root mean square error against float64", result, lambda row: f"{row.error_rms or 0:.1e}")


def notes(result: Result) -> Iterator[str]:
    """Give the sentences below the tables: the machine, how it was measured, the goal over `run`, the warnings."""
    calls = [row.chunks for row in result.rows]
    yield f"Machine: {result.environment.summary()}."
    yield (
        f"One core; all contenders take turns in one run, each in its own processes; batch 1, state carried, "
        f"{result.rows[0].loop} loop, {min(calls):,} to {max(calls):,} calls each. "
        "T is frames per call. The error is that of a stream of 1000 frames (whole chunks only)."
    )
    yield from _run_goal(result)
    yield from (f"warning: {text}" for text in result.warnings)


def render(result: Result) -> None:
    """Print the tables and sentences of a result on standard output."""
    show(*tables(result), *notes(result))


def to_markdown(result: Result) -> str:
    """Return the tables and sentences of a result as Markdown."""
    parts = [table.to_markdown() for table in tables(result)]
    return "\n\n".join([*parts, *notes(result)]) + "\n"


def _wide(title: str, result: Result, cell: Callable[[Row], str]) -> Table:
    """Return a table with one row per case and chunk size, and one column per contender."""
    groups = list(_groups(result.rows))
    columns = [_name(row, result) for row in groups[0]]
    rows = [[str(stacks.CASES.get(g[0].case, g[0].case)), str(g[0].steps), *map(cell, g)] for g in groups]
    return Table(title, ["case|", "T", *columns], rows, whole=True)


def _name(row: Row, result: Result) -> str:
    """Return a contender's label, without the engine's variant if there is only one."""
    if row.peer != "tidegate":
        return f"{row.peer} {row.how}"
    return row.precision if len(result.environment.isa) == 1 else f"{row.precision} {_isa(row)}"


def _isa(row: Row) -> str:
    return row.how.partition(" ")[2]


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Give the groups of rows with the same case and chunk size."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case, row.steps), []).append(row)
    yield from groups.values()


def _peer_row(group: list[Row], how: str) -> Row:
    return next(row for row in group if row.peer == PEER and row.how == how)


def _faster(row: Row, other: Row) -> float:
    return times_faster(row.turns_us, other.turns_us)


def _ratios(group: list[Row], result: Result) -> Iterator[list[str]]:
    binding, run = _peer_row(group, "IOBinding"), _peer_row(group, "run")
    for row in group:
        if row.peer != "tidegate":
            continue
        goals = _goals_of(row, result.environment.best)
        ratio = _faster(row, binding)
        wanted = ["-", "-"] if goals is None else [f"{goal:g}" for goal in goals]
        marks = [verdict(ratio, goals), f"{_faster(row, run):.2f}"]
        yield [row.case, str(row.steps), _name(row, result), f"{ratio:.2f}", *wanted, *marks]


def _goals_of(row: Row, best: str) -> tuple[float, float] | None:
    goals = GOALS.get(best, {}) if _isa(row) == best else {}
    return goals.get((row.precision, row.steps), {}).get(row.case)


def _variants(group: list[Row], first: str, result: Result) -> Iterator[list[str]]:
    base = {row.precision: row for row in group if _isa(row) == first}
    for row in group:
        if row.peer == "tidegate" and _isa(row) != first:
            yield [row.case, str(row.steps), _name(row, result), f"{_faster(base[row.precision], row):.2f}"]


def _run_goal(result: Result) -> Iterator[str]:
    case, steps, least = RUN_GOAL
    for group in _groups(result.rows):
        if (group[0].case, group[0].steps) == (case, steps):
            ratios = [_faster(row, _peer_row(group, "run")) for row in group if row.peer == "tidegate"]
            word = "reached" if min(ratios) >= least else "short"
            yield f"Goal over `run` on {case}, T = {steps}: at least {least:g}; lowest {min(ratios):.2f}: {word}."
