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

RATES = (100.0, 1000.0)  # frames a second: of speech features, of a fast sensor
SIZES = ("A", "B")
MOST = 4096  # streams that are tried
TRIES = 8  # numbers of streams that are tried for the whole time, each a tenth fewer than the one before
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
    most: int = MOST


@dataclass(frozen=True)
class Held:
    """What a contender held.

    Attributes:
        name: The contender.
        case: The sizes of its model.
        rate_hz: Frames a second of each stream.
        streams: Most streams without a miss for the whole time; 0 where there was a miss each time.
        seconds: The time.
        misses: By number of streams, of each try for the whole time.
    """

    name: str
    case: str
    rate_hz: float
    streams: int
    seconds: float
    misses: dict[int, int]


def most_streams(contender: Contender, rate: float, seconds: float, clock: Clock = REAL) -> tuple[int, dict[int, int]]:
    """Return the most streams without a miss, and the misses of each number that was tried for the whole time.

    A first guess comes from what one stream costs; short tries halve the interval around it; then the number found is
    tried for the whole time, and a tenth fewer as long as there are misses.
    """
    low, high = 0, min(2 * _guess(contender, rate, clock), contender.most)
    while high - low > max(1, low // 50):
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _holds(contender, middle, rate, clock) else (low, middle - 1)
    low = max(low, 1)
    tried: dict[int, int] = {}
    for _ in range(TRIES):
        if tried and list(tried.values())[-1] == 0:
            break
        count = low if not tried else max(list(tried)[-1] * 9 // 10, 1)
        tried[count] = _misses(contender, count, rate, seconds, clock)
    held = [count for count, misses in tried.items() if misses == 0]
    return max(held, default=0), tried


def _guess(contender: Contender, rate: float, clock: Clock) -> int:
    push, count = contender.open(1), 100
    start = clock.now()
    for _ in range(count):
        push()
    return max(int(1e9 / rate / max((clock.now() - start) / count, 1.0)), 1)


def _holds(contender: Contender, streams: int, rate: float, clock: Clock) -> bool:
    """Return whether one of two short tries has no miss: a single stall of the machine is not the contender's."""
    return any(_misses(contender, streams, rate, 0.5, clock) == 0 for _ in range(2))


def _misses(contender: Contender, streams: int, rate: float, seconds: float, clock: Clock) -> int:
    push, period = contender.open(streams), 1e9 / rate
    push()
    timed = run(lambda _: push(), [np.zeros(1, np.float32)], max(int(seconds * rate), 1), Course(period, clock=clock))
    return sum(latency > period for latency in timed.latencies)


def measure(
    sizes: Sequence[str] = SIZES,
    rates: Sequence[float] = RATES,
    seconds: float = 60.0,
    progress: Progress | None = None,
) -> list[Held]:
    """Find for each size and rate what groups, single streams and an onnxruntime session each hold, on one core."""
    found: list[Held] = []
    with pinned(), TemporaryDirectory(prefix="tidegate-") as folder:
        for size in sizes:
            contenders = list(_contenders(stack_job(Path(folder, size), lstms.CASES[size], 1)))
            for rate in rates:
                for contender in contenders:
                    if progress is not None:
                        share = len(found) / (len(sizes) * len(rates) * len(contenders))
                        progress(share, f"{size} at {rate:g}/s: {contender.name}")
                    streams, misses = most_streams(contender, rate, seconds)
                    found.append(Held(contender.name, str(lstms.CASES[size]), rate, streams, seconds, misses))
    return found


def table(found: Sequence[Held]) -> Table:
    """Return the table, a row a contender and size."""
    rates = sorted({held.rate_hz for held in found})
    rows: dict[tuple[str, str], list[str]] = {}
    for held in found:
        text = str(held.streams) if held.streams else f"none ({min(held.misses.values(), default=0)} misses)"
        rows.setdefault((held.case, held.name), [f"{held.case}, {held.name}"]).append(text)
    title = f"Streams that one core holds without a miss in {found[0].seconds:g} s, by frames a second of each"
    return Table(title, ["|", *(f"{rate:g}/s" for rate in rates)], list(rows.values()), whole=True)


# ---- contenders ----


PRECISIONS = ("W8A16", "W8A8")


def _contenders(job: Job) -> Iterator[Contender]:
    """Give what pushes the first frame of a job into many streams: groups, single streams, a session each."""
    frame = job.chunks()[0]
    for precision in PRECISIONS:
        variant = Variant(precision, "push")
        tidegate.prepare(job, variant)
        model = tidegate.model(job, variant)
        yield Contender(f"tidegate {precision} group", lambda count, model=model: _group(model, frame, count))  # type: ignore[misc]
        yield Contender(f"tidegate {precision} streams", lambda count, model=model: _single(model, frame, count))  # type: ignore[misc]
    variant = Variant("int8", "IOBinding")
    onnxruntime.prepare(job, variant)
    name = "onnxruntime int8, a session each"  # as a server does that keeps streams apart
    yield Contender(name, lambda count: _each([onnxruntime.load(job, variant) for _ in range(count)], frame), most=512)


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
