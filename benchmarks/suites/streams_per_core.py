"""How many streams one core holds: every stream gets a frame a period, and all must be answered before the next."""

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

RATES = (31.25, 100.0, 1000.0)  # frames a second: of a voice detector, of speech features, of a fast sensor
SIZES = ("A", "B")
SLICE = 1.0  # seconds after which a try ends if there was a miss
START = 0.9  # of what the cost of one frame says, at which the whole time is first tried
FEWER = 0.8  # of the streams that missed: 8 tries come down to a fifth of the first number
TRIES = 8
TRIES_ALONE = 3  # one stall in a minute is no reason to leave out a rate
PUSHES = 20  # that tell what a frame costs
CHUNK = [np.zeros(1, np.float32)]  # a push that has its frames takes no notice
ALONE = "the machine alone"
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
class Capacity:
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

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """Return what JSON kept, where numbers that name something are text."""
        return cls(**fields | {"lasted": {int(count): seconds for count, seconds in fields["lasted"].items()}})


def most_streams(
    contender: Contender, rate: float, seconds: float, clock: LoopClock = REAL
) -> tuple[int, dict[int, float]]:
    """Return the most streams without a miss, and how many seconds each number lasted that was tried.

    The first number comes from what a frame costs; each try that ends in a miss is followed by one with a fifth fewer.
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
    """Return how many streams should fit into a period: of one stream first, then of as many as that says."""
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
    """Return for how many seconds there was no miss."""
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
    """Find for each size and rate what a group and an onnxruntime session for each stream hold, on one core.

    First the machine alone is tried at each rate: where it misses each time, it holds no stream of anything, and
    nothing else is tried.
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
    """Find for how long the machine answers a call that does nothing before the next one is due.

    The fastest rate comes first: what it holds for the whole time, slower ones hold, for they leave a call more time.
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
    """Return the table, a row a contender and size."""
    rates = sorted({held.rate_hz for held in found})
    rows: dict[str, dict[float, str]] = {}
    for held in found:
        rows.setdefault(", ".join(filter(None, (held.case, held.name))), {})[held.rate_hz] = _cell(held)
    title = f"Streams that one core holds without a miss in {found[0].seconds:g} s, by frames a second of each"
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
    """Give what pushes the first frame of a job into many streams: a group, a session each."""
    frame = job.chunks()[0]
    model = _tidegate(job)
    yield Contender("tidegate W8A16 group", lambda count: _group(model, frame, count), 1 << 16)
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


def _each(steps: Sequence[Step], frame: Floats) -> PushAll:
    def push() -> None:
        for step in steps:
            step(frame)

    return push
