"""The result of a benchmark as rows, and its JSON file: `bench --json` writes it, `bench --compare` reads it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

import numpy as np

from ...runtime.arrays import Array
from ...runtime.errors import ModelError
from ...runtime.files import MAX_FILE_BYTES, read_bytes, write_atomic
from .environment import Environment

VERSION = 3
Loop = Literal["open", "closed"]
STEADY = 0.10  # a larger spread of the turns' medians makes a figure doubtful
LONGEST = 3600 * 10**9  # nanoseconds: the longest time that a histogram can hold
STRETCHES = 400  # parts of a run in the time series
TAILS = {"p90_us": 10, "p99_us": 100, "p999_us": 1000, "p9999_us": 10_000}  # p90: one chunk in 10 takes longer
DIGITS = 3  # significant digits of a time in a histogram


@dataclass(frozen=True)
class Row:
    """The figures of one variant of one peer on one case.

    The time of a chunk is its latency. In an open loop it starts when the chunk is due, in a closed loop with the call.
    A figure that is absent is None, and `reasons` gives the reason under the figure's name. A tail percentile is
    absent if no chunk lies beyond it.

    Attributes:
        peer: The peer's name: `tidegate`, `onnxruntime` and so on.
        precision: The precision, as the peer calls it; for tidegate for example W8A16.
        how: The call that was timed.
        case: The name of the model or stack.
        steps: Frames per chunk.
        loop: `open` or `closed`.
        rate_hz: Chunks per second in an open loop; None in a closed loop.
        chunks: Number of chunks that were timed.
        processes: Number of fresh processes that timed them.
        p50_us: The median time in microseconds: 50 % of the chunks took at most this time.
        p90_us: The time in microseconds that 90 % of the chunks did not exceed.
        p99_us: The same for 99 %.
        p999_us: The same for 99.9 %.
        p9999_us: The same for 99.99 %.
        max_us: The longest time in microseconds.
        interval_us: The lowest and the highest median of a process, in microseconds.
        confidence: The probability that the median of such processes is in the interval: 1 - 2^(1 - processes).
        service_p50_us: The median time from the call to the answer, in microseconds. In an open loop, the rest of the
            latency is waking up and waiting.
        service_p99_us: The time from the call to the answer that 99 % of the chunks did not exceed.
        misses: Number of chunks whose answer came after the next chunk was due.
        longest_misses: The largest number of consecutive misses.
        cpu_share: Seconds of processor time per second.
        context_switches: Context switches of all processes.
        page_faults: Page faults of all processes.
        first_step_us: Time of the first chunk after loading in microseconds, median over the processes.
        import_ms: Milliseconds from the start until the package is imported, including NumPy's own import.
        load_ms: Milliseconds to load the model from its files, after the import.
        first_answer_ms: Milliseconds from the start to the first answer.
        error_rms: Root mean square of the differences from a float64 run of the same stream.
        error_max: The largest such difference.
        file_bytes: Size of the files that a device must hold.
        peak_rss_bytes: The most memory that a process for only this variant used until its first answer.
        rss_bytes: The memory in use after the first answer.
        installed_bytes: Disk space of the peer's packages and of the packages that they need.
        energy_joules: Joules per second of the processor's package.
        histogram: All times in nanoseconds, as an HdrHistogram in its compressed text form.
        turns_us: The median time of each turn in microseconds, process after process.
        series_us: The longest time in each of up to 400 equal parts of the run, in microseconds.
        unsteady: Spread of the turns' medians: (90th - 10th percentile) / median.
        reasons: Why figures are absent, by figure. The key `row` says why there are no figures at all.
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
        """What tables call the variant: for example `onnxruntime int8 IOBinding`."""
        return f"{self.peer} {self.precision} {self.how}"

    @property
    def key(self) -> tuple[str, str, str, str, int, str]:
        """What identifies a row: rows of two results with equal keys are compared."""
        return self.peer, self.precision, self.how, self.case, self.steps, self.loop

    @property
    def refusal(self) -> str | None:
        """Why there are no figures; None if there are."""
        return self.reasons.get("row")


def percentiles(times: Array) -> dict[str, float]:
    """Return a row's percentiles and maximum in microseconds, by the name of the field.

    Each is one of the times. A tail percentile is left out if there are too few times for one to lie beyond it.

    Args:
        times: The times in nanoseconds.
    """
    ordered, count = np.sort(times), len(times)
    places = {"p50_us": (count - 1) // 2, "max_us": count - 1}
    places |= {name: count - count // one_of - 1 for name, one_of in TAILS.items() if count >= one_of}
    return {name: float(ordered[place]) / 1e3 for name, place in places.items()}


def series(times: Array) -> tuple[float, ...]:
    """Return the longest time in each of up to 400 equal parts of a run.

    Args:
        times: The times in nanoseconds, in order.

    Returns:
        The longest times in microseconds.
    """
    parts = np.array_split(times, min(STRETCHES, len(times)))
    return tuple(float(part.max()) / 1e3 for part in parts)


def longest_run(missed: Array) -> int:
    """Return the length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missed.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def spread(turns: Sequence[float]) -> float:
    """Return the spread of the turns' medians: (90th - 10th percentile) / median."""
    low, middle, high = np.percentile(turns, (10, 50, 90))
    return float((high - low) / middle) if middle else 0.0


def histogram_of(times: Array) -> str:
    """Return times in nanoseconds as the text of an HdrHistogram, from 1 ns to an hour, with three digits."""
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, LONGEST, DIGITS)
    values, counts = np.unique(np.clip(times, 1, LONGEST), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    text: str = histogram.encode().decode()
    return text


def counts_of(text: str) -> tuple[list[float], list[int]]:
    """Return the times in a histogram's text, in microseconds and ascending, and how often each occurred."""
    from hdrh.histogram import HdrHistogram

    held: dict[float, int] = {}
    for item in HdrHistogram.decode(text.encode()).get_recorded_iterator():  # it gives the same object each time
        held[item.value_iterated_to / 1e3] = item.count_at_value_iterated_to
    return list(held), list(held.values())


@dataclass(frozen=True)
class Result:
    """The result of one run.

    Attributes:
        environment: The machine and the versions.
        rows: The figures, one row per variant and job.
        warnings: Why figures may be doubtful.
    """

    environment: Environment
    rows: tuple[Row, ...]
    warnings: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the result as a JSON file."""
        parts = {"version": VERSION, "environment": self.environment.to_dict(), "warnings": self.warnings}
        text = json.dumps(parts | {"rows": [asdict(row) for row in self.rows]}, indent=1)
        write_atomic(path, text.encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a result from a JSON file, without its warnings.

        Raises:
            ModelError: The file is not a result, or a result of another version.
            FileNotFoundError: There is no such file.
        """
        data = read_bytes(path, MAX_FILE_BYTES)
        try:
            given = json.loads(data)
            if (seen := repr(given["version"])[:40]) == str(VERSION):
                return cls(_built(Environment, given["environment"]), tuple(_built(Row, row) for row in given["rows"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:  # its repr may hold the whole file
            why = str(error)[:120]
            raise ModelError(f"{path}: not a result of `tidegate bench --json`: {why}") from None
        raise ModelError(f"{path}: results of version {seen}, this tidegate reads {VERSION}; measure again")


def _built(kind: Any, given: dict[str, Any]) -> Any:  # noqa: ANN401  a dataclass
    hints = get_type_hints(kind)
    if unknown := given.keys() - hints.keys():
        raise KeyError(min(unknown))
    read = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if wrong := [name for name, value in read.items() if not _fits(value, hints[name])]:
        raise TypeError(f"{wrong[0]} is {read[wrong[0]]!r}")
    if odd := [name for name, value in read.items() if name.endswith("_us") and not _are_times(value)]:
        raise ValueError(f"{odd[0]} is {repr(read[odd[0]])[:40]}, wanted finite times from 0; measure again")
    return kind(**read)


def _are_times(value: object) -> bool:
    """Return whether a figure, or each of several, can be a time: a comparison of others would end in `same`."""
    found = value if isinstance(value, tuple) else () if value is None else (value,)
    return all(0 <= one <= LONGEST for one in found)


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401  a type
    """Return whether a value of a JSON file is of the type of a field."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in inner
    if origin is UnionType:
        return any(_fits(value, one) for one in inner)
    if isinstance(value, dict):
        return origin is dict and all(_fits(one, inner[1]) for one in value.values())
    if isinstance(value, tuple):
        wanted = inner[:1] * len(value) if inner[1:] == (Ellipsis,) else inner
        return origin is tuple and len(value) == len(wanted) and all(map(_fits, value, wanted))
    return type(value) is hint or (hint is float and type(value) is int)


def doubtful(row: Row) -> bool:
    """Return whether the turns of a row differ too much: another program disturbed them."""
    return row.unsteady is not None and row.unsteady > STEADY


def warnings_of(rows: Sequence[Row]) -> list[str]:
    """Return one warning that names the doubtful rows; none if there are no such rows."""
    named = [f"{row.name} {row.unsteady:.0%}" for row in rows if doubtful(row)]
    if not named:
        return []
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    listed = ", ".join(named[:4])
    return [f"medians of turns differ by more than {STEADY:.0%}, run again on a quieter machine: {listed}{more}"]
