"""The number of streams that one core can serve: each stream gets one frame per period, answered before the next."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ...runtime.arrays import Floats
from ..measuring.jobs import stack_job
from ..measuring.turns import pinned
from ..nets import stacks
from ..peers import onnxruntime, tidegate
from ..peers.job import Job, Step, Variant
from ..peers.loops import REAL, Course, LoopClock, run
from ..progress import Progress
from ..tables import Table

if TYPE_CHECKING:
    from ...runtime.backends.native import NativeModel

RATES = (31.25, 100.0, 1000.0)  # frames per second of a voice detector, of speech features, of a fast sensor
SIZES = ("A", "B")
SLICE = 1.0  # seconds of a part of a try; misses are checked after each part
START = 0.9  # part of the estimated number of streams with which the first try begins
FEWER = 0.8  # part of the streams that the next try has after a miss: 8 tries go down to a fifth of the first number
TRIES = 8
TRIES_ALONE = 3  # a single stall in a minute must not exclude a rate
PUSHES = 20  # pushes that estimate the cost of a frame
CHUNK = [np.zeros(1, np.float32)]  # not used: a PushAll already has its frames
ALONE = "the machine alone"
PushAll = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """A method to push one frame into each of many streams.

    Attributes:
        name: What tables call it.
        open: Opens a number of streams and returns a function that pushes one frame into each.
        most: The largest number of streams that it opens.
    """

    name: str
    open: Callable[[int], PushAll]
    most: int


@dataclass(frozen=True)
class Capacity:
    """The number of streams that a contender can serve.

    Attributes:
        name: The contender.
        case: The sizes of its model.
        rate_hz: Frames per second of each stream.
        streams: The largest number of streams without a miss for the whole time; 0 if each try had a miss.
        seconds: The whole time of a try.
        most: The largest number of streams that was tried; if `streams` is equal to it, more may be possible.
        lasted: For each number of streams that was tried, the seconds without a miss.
    """

    name: str
    case: str
    rate_hz: float
    streams: int
    seconds: float
    most: int
    lasted: dict[int, float]

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """Return a capacity from its JSON fields; the keys of `lasted` are texts there."""
        return cls(**fields | {"lasted": {int(count): seconds for count, seconds in fields["lasted"].items()}})


def most_streams(
    contender: Contender, rate: float, seconds: float, clock: LoopClock = REAL
) -> tuple[int, dict[int, float]]:
    """Return the largest number of streams without a miss, and the seconds that each tried number lasted.

    The first number follows from the cost of a frame. After a miss, the next try has a fifth fewer streams.

    Args:
        contender: How the streams are pushed.
        rate: Frames per second of each stream.
        seconds: How long a number of streams must have no miss.
        clock: The clock that measures.
    """
    count, lasted = _first(contender, rate, clock), dict[int, float]()
    for _ in range(TRIES):
        lasted[count] = _lasts(contender.open(count), rate, seconds, clock)
        if lasted[count] >= seconds:
            return count, lasted
        if count == 1:
            break
        count = int(FEWER * count)
    return 0, lasted


def _first(contender: Contender, rate: float, clock: LoopClock) -> int:
    """Estimate the streams that fit into a period from the cost of one stream, then from the cost of that many."""
    count, period = 1, 1e9 / rate
    for _ in range(3):
        push = contender.open(count)
        push()
        start = clock.now()
        for _ in range(PUSHES):
            push()
        cost = max((clock.now() - start) / PUSHES / count, 1.0)
        count = min(max(int(START * period / cost), 1), contender.most)
    return count


def _lasts(push: PushAll, rate: float, seconds: float, clock: LoopClock) -> float:
    """Return the seconds without a miss, in whole slices."""
    period, done = 1e9 / rate, 0.0
    push()
    while done < seconds:
        part = min(SLICE, seconds - done)
        timed = run(lambda _: push(), CHUNK, max(int(part * rate), 1), Course(period, clock=clock))
        if max(timed.latencies) > period:
            break
        done += part
    return done


def measure(
    sizes: Sequence[str] = SIZES,
    rates: Sequence[float] = RATES,
    seconds: float = 60.0,
    progress: Progress | None = None,
) -> list[Capacity]:
    """Return the number of streams that one core serves with a tidegate group and with onnxruntime sessions.

    First each rate is tried with a call that does nothing. If even this call is late in each try, no runtime can keep
    the rate on this machine, and the rate is left out.

    Args:
        sizes: Keys of `stacks.CASES`.
        rates: Frames per second of each stream.
        seconds: How long a number of streams must have no miss.
        progress: Called with the fraction done (0 to 1) and a description of the work.
    """
    found: list[Capacity] = []
    with pinned(), TemporaryDirectory(prefix="tidegate-") as folder:
        held_alone = list(machine_alone(rates, seconds, progress))
        steady = [one.rate_hz for one in held_alone if one.streams]
        for size in sizes:
            contenders = list(_contenders(stack_job(Path(folder, size), stacks.CASES[size], 1)))
            for rate in steady:
                for contender in contenders:
                    if progress is not None:
                        share = len(found) / (len(sizes) * len(steady) * len(contenders))
                        progress(share, f"{size} at {rate:g}/s: {contender.name}")
                    streams, lasted = most_streams(contender, rate, seconds)
                    held = Capacity(
                        contender.name, str(stacks.CASES[size]), rate, streams, seconds, contender.most, lasted
                    )
                    found.append(held)
    return [*held_alone, *found]


def machine_alone(
    rates: Sequence[float], seconds: float, progress: Progress | None = None, clock: LoopClock = REAL
) -> Iterator[Capacity]:
    """Give, for each rate, how long a call that does nothing returns before the next one is due.

    The fastest rate is tried first. If it has no miss for the whole time, the slower rates are not tried, because they
    leave more time.
    """
    lasted = 0.0
    for rate in sorted(rates, reverse=True):
        for _ in range(TRIES_ALONE):
            if lasted >= seconds:
                break
            if progress is not None:
                progress(0.0, f"{ALONE} at {rate:g}/s")
            lasted = max(lasted, _lasts(lambda: None, rate, seconds, clock))
        yield Capacity(ALONE, "", rate, int(lasted >= seconds), seconds, 1, {1: lasted})


def table(found: Sequence[Capacity]) -> Table:
    """Return the table, one row per size and contender."""
    rates = sorted({held.rate_hz for held in found})
    rows: dict[str, dict[float, str]] = {}
    for held in found:
        rows.setdefault(", ".join(filter(None, (held.case, held.name))), {})[held.rate_hz] = _cell(held)
    title = f"Streams that one core serves without a miss in {found[0].seconds:g} s, by frames per second of each"
    lines = [[name, *(cells.get(rate, "-") for rate in rates)] for name, cells in rows.items()]
    return Table(title, ["|", *(f"{rate:g}/s" for rate in rates)], lines, whole=True)


def _cell(held: Capacity) -> str:
    if held.name == ALONE:
        return "no miss" if held.streams else f"misses within {held.lasted[1] + SLICE:g} s"
    if not held.streams:
        return f"none: {min(held.lasted)} for {max(held.lasted.values()):g} s"
    return f"{held.streams:,}{' or more' if held.streams == held.most else ''}"


# ---- contenders ----


def _contenders(job: Job) -> Iterator[Contender]:
    """Give the contenders, which push the first frame of a job: a tidegate group, and one session per stream."""
    frame = job.chunks()[0]
    model = _tidegate(job)
    yield Contender("tidegate W8A16 group", lambda count: _group(model, frame, count), 1 << 16)
    variant = Variant("int8", "IOBinding")
    onnxruntime.prepare(job, variant)
    # As in a server that keeps its streams apart. A session takes a megabyte or more.
    name = "onnxruntime int8, one session per stream"
    yield Contender(name, lambda count: _each([onnxruntime.load(job, variant) for _ in range(count)], frame), 1 << 11)


def _tidegate(job: Job) -> "NativeModel":
    variant = Variant("W8A16", "push")
    tidegate.prepare(job, variant)
    return tidegate.model(job, variant)


def _group(model: "NativeModel", frame: Floats, count: int) -> PushAll:
    """Return a function that pushes all streams in one call, from one array into another, as a server would."""
    push, frames = model.streams(count).push, np.repeat(frame[None], count, axis=0)
    out = np.asarray(push(frames))
    return lambda: push(frames, out=out)


def _each(steps: Sequence[Step], frame: Floats) -> PushAll:
    def push() -> None:
        for step in steps:
            step(frame)

    return push
