"""The tables and sentences that `tidegate bench` prints for its rows."""

from collections.abc import Mapping, Sequence

from ..measuring.results import Row, doubtful
from ..nets import stacks
from ..peers import MACHINE
from ..tables import Table, micro


def latency(rows: Sequence[Row]) -> Table:
    """Return the latency table of rows with the same case and chunk size, fastest first, without refused rows."""
    first = rows[0]
    loop = "closed loop" if first.rate_hz is None else f"open loop, a chunk due every {micro(1e6 / first.rate_hz)} us"
    title = f"{first.case}, chunks of {_frames(first)}, {loop}: microseconds per chunk"
    waits = ["call"] if first.rate_hz else []  # the median of the call; the rest of p50 is waking up and waiting
    columns = ["|", "p50", *waits, "p99", "p99.9", "max", *(["misses"] if first.rate_hz else []), "error"]
    return Table(title, columns, [_cells(row) for row in fastest_first(rows)])


def headline(rows: Sequence[Row], machine: str) -> str | None:
    """Return one sentence to quote: tidegate's fastest variant and the fastest other, with their conditions.

    Args:
        rows: Rows with the same case and chunk size.
        machine: The processor and the instruction set.
    """
    ordered = fastest_first(rows)
    ours = next((row for row in ordered if row.peer == "tidegate"), None)
    if ours is None or ours.p50_us is None:
        return None
    other = next((row for row in ordered if row.peer not in ("tidegate", MACHINE)), None)
    beside = ""
    if other is not None and other.p50_us is not None:
        beside = f"; {other.name} takes {micro(other.p50_us)} us, {other.p50_us / ours.p50_us:.2g} times as long"
    tail = "" if ours.p99_us is None else f", 99 % within {micro(ours.p99_us)} us"
    shaky = doubtful(ours) or (other is not None and doubtful(other))
    doubt = " Not to be quoted: these times are unstable (~)." if shaky else ""
    due = "in a closed loop" if ours.rate_hz is None else f"from when it is due, {ours.rate_hz:g} times per second"
    return (
        f"{ours.case}: {ours.name} takes {micro(ours.p50_us)} us in the median for a chunk of {_frames(ours)}"
        f"{tail}{beside}. "
        f"Timed {due}: {ours.chunks} chunks in {ours.processes} processes on one core of {machine}.{doubt}"
    )


WORDS = {
    "chunk": "the frames of one call",
    "p50, p99, p99.9, max": "the time that 50, 99, 99.9 and 100 % of the chunks did not exceed",
    "open loop": "a chunk is due at fixed times, and its time begins then, even if the one before is not done",
    "closed loop": "a chunk is sent as soon as the one before is answered",
    "call": "in an open loop, the median from the call to the answer; the rest of p50 is waking up and waiting",
    "miss": "an answer that came after the next chunk was due",
    "empty step": "a step of the open loop without a model: what waking up alone takes",
    "error": "root mean square of the differences from a float64 run of the same stream",
    "~": "unstable: the medians of its turns differ by more than 10 %, because something else ran on the machine",
    "T": "frames per chunk",
}


def refusals(rows: Sequence[Row]) -> list[str]:
    """Return, for each variant without figures, its name and the reason."""
    return [f"{row.name if row.how != '-' else row.peer}: {row.refusal}" for row in rows if row.refusal]


def fastest_first(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with figures by their medians."""
    return sorted(_with_figures(rows), key=lambda row: row.p50_us or 0.0)


def _with_figures(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.p50_us is not None]


def _frames(row: Row) -> str:
    return "1 frame" if row.steps == 1 else f"{row.steps} frames"


def _cells(row: Row) -> list[str]:
    waits = [row.service_p50_us] if row.rate_hz else []
    times = (row.p50_us, *waits, row.p99_us, row.p999_us, row.max_us)
    return [
        f"~ {row.name}" if doubtful(row) else row.name,
        *("-" if time is None else micro(time) for time in times),
        *([str(row.misses)] if row.rate_hz else []),
        "-" if row.error_rms is None else f"{row.error_rms:.1e}",
    ]


def resources(rows: Sequence[Row]) -> tuple[Table, Table]:
    """Return two tables of rows with figures: how long each variant takes to start, and what its process uses."""
    measured = _with_figures(rows)
    starts = ["|", "import ms", "load ms", "first step us", "to first answer ms"]
    takes = ["|", "cpu %", "switches", "faults", "file kB", "resident MB", "peak MB", "disk MB"]
    return (
        Table("From the start of a process to its first answer", starts, [_start_cells(row) for row in measured]),
        Table("Resources of a process that runs only this variant", takes, [_taken_cells(row) for row in measured]),
    )


def _start_cells(row: Row) -> list[str]:
    return [
        row.name,
        _shown(row.import_ms),
        _shown(row.load_ms, 1, 1),
        _shown(row.first_step_us),
        _shown(row.first_answer_ms),
    ]


def _taken_cells(row: Row) -> list[str]:
    return [
        row.name,
        _shown(row.cpu_share, 100, 1),
        _shown(row.context_switches),
        _shown(row.page_faults),
        _shown(row.file_bytes, 1e-3),
        _shown(row.rss_bytes, 1e-6, 1),
        _shown(row.peak_rss_bytes, 1e-6, 1),
        _shown(row.installed_bytes, 1e-6),
    ]


def _shown(value: float | None, factor: float = 1.0, digits: int = 0) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def by_case(rows: Sequence[Row], cases: Mapping[str, stacks.Case]) -> Table:
    """Return the table of one case at all its chunk sizes, one row per variant, fastest first."""
    measured = _with_figures(rows)
    steps = sorted({row.steps for row in rows})
    variants = {row.name: {one.steps: one for one in measured if one.name == row.name} for row in measured}
    ordered = sorted(
        variants.items(), key=lambda item: [item[1][n].p50_us or 0.0 if n in item[1] else 1e9 for n in steps]
    )
    first, *others = steps
    columns = ["|", f"T={first}", "interval", "p99"]
    columns += [column for n in others for column in (f"T={n}", "p99")]
    columns += ["error", "file kB", "resident MB", "installed MB", "load ms", "start ms"]
    lines = [[name, *_of_variant(found, first, others)] for name, found in ordered]
    title = f"{cases.get(rows[0].case, rows[0].case)}, {rows[0].loop} loop: median microseconds per chunk of T frames"
    return Table(title, columns, lines)


def _of_variant(found: Mapping[int, Row], first: int, others: Sequence[int]) -> list[str]:
    """Return the cells of a variant. The figures of its process are those of the first chunk size."""
    row = found.get(first)
    low_high = "-" if row is None or row.interval_us is None else "-".join(micro(end) for end in row.interval_us)
    cells = [_time(row), low_high, _tail(row)]
    cells += [cell for n in others for cell in (_time(found.get(n)), _tail(found.get(n)))]
    error = "-" if row is None or row.error_rms is None else f"{row.error_rms:.1e}"
    if row is None:
        return [*cells, error, *"-----"]
    return [
        *cells,
        error,
        _shown(row.file_bytes, 1e-3),
        _shown(row.rss_bytes, 1e-6, 1),
        _shown(row.installed_bytes, 1e-6),
        _shown(row.load_ms, 1, 1),
        _shown(row.first_answer_ms),
    ]


def _time(row: Row | None) -> str:
    if row is None or row.p50_us is None:
        return "-"
    return f"{micro(row.p50_us)}{'~' if doubtful(row) else ''}"


def _tail(row: Row | None) -> str:
    return "-" if row is None or row.p99_us is None else micro(row.p99_us)
