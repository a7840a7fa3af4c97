"""How many streams one core holds: every stream gets a frame a period, and all must be answered before the next."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.arrays import Floats
from . import lstms
from .jobs import stack_job
from .latency import pinned
from .peers import onnxruntime, tidegate
from .peers.job import Job, Step, Variant
from .peers.loops import REAL, Clock, Course, run
from .progress import Progress
from .tables import Table

if TYPE_CHECKING:
    from ..runtime.native import NativeModel

RATES = (31.25, 100.0, 1000.0)  # frames a second: of a voice detector, of speech features, of a fast sensor
SIZES = ("A", "B")
TRY = 0.5  # seconds of a try while the number is searched for
SLICE = 1.0  # seconds after which the whole time ends if there was a miss
START = 0.95  # of the number found, at which the whole time is first tried
PushAll = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """A way to push one frame into each of many streams.

    Attributes:
        name: What tables call it.
        open: Opens a number of streams and returns what pushes a frame into each.
        most: Most streams that it opens.
    """

    name: str
    open: Callable[[int], PushAll]
    most: int


@dataclass(frozen=True)
class Held:
    """What a contender held.

    Attributes:
        name: The contender.
        case: The sizes of its model.
        rate_hz: Frames a second of each stream.
        streams: Most streams without a miss for the whole time; 0 where there was a miss each time.
        seconds: The time.
        most: Most streams that were opened: `streams` may be as many because more were not tried.
        lasted: By number of streams, the seconds until the first misses of each try for the whole time.
    """

    name: str
    case: str
    rate_hz: float
    streams: int
    seconds: float
    most: int
    lasted: dict[int, float]


def most_streams(
    contender: Contender, rate: float, seconds: float, clock: Clock = REAL
) -> tuple[int, dict[int, float]]:
    """Return the most streams without a miss, and how many seconds each number lasted that was tried in earnest.

    A first guess comes from what one stream costs; short tries halve the interval around it. The whole time is tried
    with a little fewer, and a tenth fewer each time that there was a miss, down to half.
    """
    found = _searched(contender, rate, clock)
    lasted: dict[int, float] = {}
    count = found if found == contender.most else max(int(found * START), 1)
    while count >= max(found // 2, 1):
        lasted[count] = _lasts(contender.open(count), rate, seconds, clock)
        if lasted[count] >= seconds:
            return count, lasted
        if count == 1:
            break
        count = count * 9 // 10
    return 0, lasted


def _searched(contender: Contender, rate: float, clock: Clock) -> int:
    """Return the most streams that short tries hold, one at the least."""
    low, high = 1, min(2 * _guess(contender, rate, clock), contender.most)
    while high - low > low // 50:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _holds(contender.open(middle), rate, clock) else (low, middle - 1)
    return low


def _guess(contender: Contender, rate: float, clock: Clock) -> int:
    push, count = contender.open(1), 100
    start = clock.now()
    for _ in range(count):
        push()
    return max(int(1e9 / rate / max((clock.now() - start) / count, 1.0)), 1)


def _holds(push: PushAll, rate: float, clock: Clock) -> bool:
    """Return whether one of two short tries has no miss: a single stall of the machine is not the contender's."""
    return any(_misses(push, rate, TRY, clock) == 0 for _ in range(2))


def _lasts(push: PushAll, rate: float, seconds: float, clock: Clock) -> float:
    """Return for how long there was no miss."""
    done = 0.0
    while done < seconds:
        part = min(SLICE, seconds - done)
        if _misses(push, rate, part, clock):
            break
        done += part
    return done


def _misses(push: PushAll, rate: float, seconds: float, clock: Clock) -> int:
    period = 1e9 / rate
    push()
    timed = run(lambda _: push(), [np.zeros(1, np.float32)], max(int(seconds * rate), 1), Course(period, clock=clock))
    return sum(latency > period for latency in timed.latencies)


def measure(
    sizes: Sequence[str] = SIZES,
    rates: Sequence[float] = RATES,
    seconds: float = 60.0,
    progress: Progress | None = None,
) -> list[Held]:
    """Find for each size and rate what groups, single streams and an onnxruntime session each hold, on one core.

    First the machine alone is tried at each rate: where it misses, it holds no stream of anything, and nothing else is.
    """
    found: list[Held] = []
    with pinned(), TemporaryDirectory(prefix="tidegate-") as folder:
        held_alone = [_alone(rate, seconds, progress) for rate in rates]
        steady = [one.rate_hz for one in held_alone if one.streams]
        for size in sizes:
            contenders = list(_contenders(stack_job(Path(folder, size), lstms.CASES[size], 1)))
            for rate in steady:
                for contender in contenders:
                    if progress is not None:
                        share = len(found) / (len(sizes) * len(steady) * len(contenders))
                        progress(share, f"{size} at {rate:g}/s: {contender.name}")
                    streams, lasted = most_streams(contender, rate, seconds)
                    held = Held(contender.name, str(lstms.CASES[size]), rate, streams, seconds, contender.most, lasted)
                    found.append(held)
    return [*held_alone, *found]


def _alone(rate: float, seconds: float, progress: Progress | None) -> Held:
    """Find for how long the machine answers a call that does nothing before the next one is due."""
    if progress is not None:
        progress(0.0, f"the machine alone at {rate:g}/s")
    lasted = _lasts(lambda: None, rate, seconds, REAL)
    return Held(ALONE, "", rate, int(lasted >= seconds), seconds, 1, {1: lasted})


ALONE = "the machine alone"


def table(found: Sequence[Held]) -> Table:
    """Return the table, a row a contender and size."""
    rates = sorted({held.rate_hz for held in found})
    rows: dict[str, dict[float, str]] = {}
    for held in found:
        rows.setdefault(", ".join(filter(None, (held.case, held.name))), {})[held.rate_hz] = _cell(held)
    title = f"Streams that one core holds without a miss in {found[0].seconds:g} s, by frames a second of each"
    lines = [[name, *(cells.get(rate, "-") for rate in rates)] for name, cells in rows.items()]
    return Table(title, ["|", *(f"{rate:g}/s" for rate in rates)], lines, whole=True)


def _cell(held: Held) -> str:
    if held.name == ALONE:
        return "no miss" if held.streams else f"misses after {held.lasted[1]:g} s"
    if not held.streams:
        return f"none: {min(held.lasted)} for {max(held.lasted.values()):g} s"
    return f"{held.streams:,}{' or more' if held.streams == held.most else ''}"


# ---- contenders ----


def _contenders(job: Job) -> Iterator[Contender]:
    """Give what pushes the first frame of a job into many streams: groups, single streams, a session each."""
    frame = job.chunks()[0]
    model = _tidegate(job)
    yield Contender("tidegate W8A16 group", lambda count: _group(model, frame, count), 1 << 16)
    yield Contender("tidegate W8A16 streams", lambda count: _single(model, frame, count), 1 << 16)
    variant = Variant("int8", "IOBinding")
    onnxruntime.prepare(job, variant)
    # As a server does that keeps streams apart; a session takes a megabyte and more.
    name = "onnxruntime int8, a session each"
    yield Contender(name, lambda count: _each([onnxruntime.load(job, variant) for _ in range(count)], frame), 1 << 11)


def _tidegate(job: Job) -> "NativeModel":
    variant = Variant("W8A16", "push")
    tidegate.prepare(job, variant)
    return tidegate.model(job, variant)


def _group(model: "NativeModel", frame: Floats, count: int) -> PushAll:
    """Return what pushes all streams at once, from one array into another, as a server would keep them."""
    push, frames = model.streams(count).push, np.repeat(frame[None], count, axis=0)
    out = np.asarray(push(frames))
    return lambda: push(frames, out=out)


def _single(model: "NativeModel", frame: Floats, count: int) -> PushAll:
    return _each([model.stream().push for _ in range(count)], frame)


def _each(steps: Sequence[Step], frame: Floats) -> PushAll:
    def push() -> None:
        for step in steps:
            step(frame)

    return push
