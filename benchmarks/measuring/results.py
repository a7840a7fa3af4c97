"""What a benchmark found, as rows; the file that `--json` writes and `bench compare` reads."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ...runtime.arrays import Array
from ...runtime.errors import ModelError
from ...runtime.files import MAX_FILE_BYTES, read_bytes, write_atomic
from .environment import Environment

VERSION = 3
Loop = Literal["open", "closed"]
STEADY = 0.10  # spread of the turns' medians above which a figure is doubted
LONGEST = 3600 * 10**9  # nanoseconds that a histogram holds
STRETCHES = 400  # of a run that a time series shows
TAILS = {"p90_us": 10, "p99_us": 100, "p999_us": 1000, "p9999_us": 10_000}  # one chunk of so many takes longer
DIGITS = 3  # that a histogram keeps of a time


@dataclass(frozen=True)
class Row:
    """One variant of one peer on one case.

    Times are in microseconds; in an open loop from the instant that a chunk was due, in a closed one from the call.
    A figure that is absent is None, and `reasons` says why by its name: a tail has one chunk beyond it at the least.

    Attributes:
        peer: `tidegate`, `onnxruntime` and so on.
        precision: As the peer calls it; W8A16 and its like for tidegate.
        how: The call that was timed.
        case: What was run.
        steps: Frames of a chunk.
        loop: `open` or `closed`.
        rate_hz: Chunks a second at which they were due; None in a closed loop.
        chunks: Chunks timed.
        processes: Fresh processes that timed them.
        p50_us: The time that half of the chunks did not exceed; the others alike.
        p90_us: 90 %.
        p99_us: 99 %.
        p999_us: 99.9 %.
        p9999_us: 99.99 %.
        max_us: The longest.
        interval_us: The lowest and the highest median of the processes that were run.
        confidence: The probability that the interval holds the median of processes like these: 1 - 2^(1 - processes).
        service_p50_us: The median from the call to the answer; in an open loop the rest is waking up and waiting.
        service_p99_us: 99 % of the same.
        misses: Chunks answered later than the next one was due.
        longest_misses: Most misses in a row.
        cpu_share: Seconds of processor time a second.
        context_switches: Of all processes.
        page_faults: Of all processes.
        first_step_us: The first chunk after loading, median of the processes.
        import_ms: From the start until the package was imported, NumPy's own import included.
        load_ms: To make a model ready from its files, the package imported.
        first_answer_ms: From the start to the first answer.
        error_rms: Root mean square difference from a float64 run of the same stream.
        error_max: The largest difference.
        file_bytes: What a device must hold of the model.
        peak_rss_bytes: Most memory of a process that did only this, until its first answer.
        rss_bytes: What of it was resident after the first answer.
        installed_bytes: What its packages take on the disk, with those they need.
        energy_joules: Of the processor's package, a second.
        histogram: Every time, as an HdrHistogram in its compressed text form, nanoseconds.
        turns_us: The median of each turn, process after process.
        series_us: The longest time in each of up to 400 equal stretches of the run, in order.
        unsteady: How far the middle four fifths of the turns' medians lie apart, relative to the median.
        reasons: Why figures are absent; under `row` why there are none at all.
    """

    peer: str
    precision: str
    how: str
    case: str
    steps: int
    loop: Loop
    rate_hz: float | None = None
    chunks: int = 0
    processes: int = 0
    p50_us: float | None = None
    p90_us: float | None = None
    p99_us: float | None = None
    p999_us: float | None = None
    p9999_us: float | None = None
    max_us: float | None = None
    interval_us: tuple[float, float] | None = None
    confidence: float | None = None
    service_p50_us: float | None = None
    service_p99_us: float | None = None
    misses: int | None = None
    longest_misses: int | None = None
    cpu_share: float | None = None
    context_switches: int | None = None
    page_faults: int | None = None
    first_step_us: float | None = None
    import_ms: float | None = None
    load_ms: float | None = None
    first_answer_ms: float | None = None
    error_rms: float | None = None
    error_max: float | None = None
    file_bytes: int | None = None
    peak_rss_bytes: int | None = None
    rss_bytes: int | None = None
    installed_bytes: int | None = None
    energy_joules: float | None = None
    histogram: str | None = None
    turns_us: tuple[float, ...] = ()
    series_us: tuple[float, ...] = ()
    unsteady: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tables call the contender: `onnxruntime int8 IOBinding`."""
        return f"{self.peer} {self.precision} {self.how}"

    @property
    def key(self) -> tuple[str, str, str, str, int, str]:
        """What tells rows apart, and pairs them between two results."""
        return self.peer, self.precision, self.how, self.case, self.steps, self.loop

    @property
    def refusal(self) -> str | None:
        """Why there are no figures; None where there are."""
        return self.reasons.get("row")


def percentiles(times: Array) -> dict[str, float]:
    """Return the fields of a row that say how times (nanoseconds) are spread; each is a time that occurred.

    A tail is left out where there are too few times for one to lie beyond it: it would be the maximum.
    """
    ordered, count = np.sort(times), len(times)
    places = {"p50_us": (count - 1) // 2, "max_us": count - 1}
    places |= {name: count - count // one_of - 1 for name, one_of in TAILS.items() if count >= one_of}
    return {name: float(ordered[place]) / 1e3 for name, place in places.items()}


def series(times: Array) -> tuple[float, ...]:
    """Return the longest time (nanoseconds) in each of up to 400 equal stretches, in microseconds."""
    parts = np.array_split(times, min(STRETCHES, len(times)))
    return tuple(float(part.max()) / 1e3 for part in parts)


def longest_run(missed: Array) -> int:
    """Return the most true values in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missed.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def spread(turns: Sequence[float]) -> float:
    """Return how far the middle four fifths of the turns' medians lie apart, relative to their median."""
    low, middle, high = np.percentile(turns, (10, 50, 90))
    return float((high - low) / middle) if middle else 0.0


def histogram_of(times: Array) -> str:
    """Return times (nanoseconds) as the text of an HdrHistogram: 1 ns to an hour, three digits."""
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, LONGEST, DIGITS)
    values, counts = np.unique(np.clip(times, 1, LONGEST), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    text: str = histogram.encode().decode()
    return text


def counts_of(text: str) -> tuple[list[float], list[int]]:
    """Return the times in microseconds that a histogram holds, ascending, and how often each occurred."""
    from hdrh.histogram import HdrHistogram

    held: dict[float, int] = {}
    for item in HdrHistogram.decode(text.encode()).get_recorded_iterator():  # gives one object, over and over
        held[item.value_iterated_to / 1e3] = item.count_at_value_iterated_to
    return list(held), list(held.values())


@dataclass(frozen=True)
class Result:
    """Everything that one run measured, with the machine and what makes it doubtful."""

    environment: Environment
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        parts = {"version": VERSION, "environment": self.environment.to_dict(), "warnings": self.warnings}
        text = json.dumps(parts | {"rows": [asdict(row) for row in self.rows]}, indent=1)
        write_atomic(path, text.encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a JSON file.

        Raises:
            ModelError: It is not a result of this version.
            FileNotFoundError: There is no such file.
        """
        try:
            given = json.loads(read_bytes(path, MAX_FILE_BYTES))
            if given["version"] != VERSION:
                raise ModelError(f"{path}: version {given['version']} of the results, this tidegate reads {VERSION}")
            return cls(_built(Environment, given["environment"]), tuple(_built(Row, row) for row in given["rows"]))
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: not a result of `tidegate bench --json` ({error!r})") from None


def _built(kind: Any, given: dict[str, Any]) -> Any:  # noqa: ANN401  a dataclass
    known = {one.name for one in fields(kind)}
    if unknown := given.keys() - known:
        raise KeyError(min(unknown))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def doubtful(row: Row) -> bool:
    """Return whether the turns of a row lie too far apart: something else was at work."""
    return row.unsteady is not None and row.unsteady > STEADY


def warnings_of(rows: Sequence[Row]) -> list[str]:
    """Say which figures are doubtful."""
    named = [f"{row.name} {row.unsteady:.0%}" for row in rows if doubtful(row)]
    if not named:
        return []
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    listed = ", ".join(named[:4])
    return [f"medians of turns lie more than {STEADY:.0%} apart, run again on a quieter machine: {listed}{more}"]
