"""The two loops that time a step function.

In a closed loop, a chunk comes as soon as the one before is answered. In an open loop, a chunk comes when it is due.
The caller passes the clock, so that tests can use a simulated one.
"""

import gc
import resource
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from .job import Floats, Step

ENERGY = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
EVICTIONS = 64  # slices of memory that are touched after each answer to empty the caches
LEAD = 20_000_000  # nanoseconds from the start of an open loop until the first chunk is due
SETTLE = 10  # first calls of a closed loop, not counted: the caches still hold another contender's data


@dataclass(frozen=True)
class LoopClock:
    """A clock.

    Attributes:
        now: Returns the time in nanoseconds; it never decreases.
        sleep_until: Takes a time and returns when `now` has reached it, or a little later.
    """

    now: Callable[[], int]
    sleep_until: Callable[[int], None]


def _sleep_until(instant: int) -> None:
    while (left := instant - time.perf_counter_ns()) > 0:
        time.sleep(left / 1e9)


REAL = LoopClock(time.perf_counter_ns, _sleep_until)


@dataclass(frozen=True)
class Course:
    """When chunks come, and what happens between them.

    Attributes:
        period: Nanoseconds from one chunk to the next in an open loop; 0 means a closed loop.
        stall: Nanoseconds for which everything stops once, in the middle of the run; 0 means no stall.
        evict: Fills a slice of the caches with other data. It is called `EVICTIONS` times after each answer; an open
            loop stops a quarter of the period before the next chunk. None means that the caches stay warm.
        clock: The clock that measures.
    """

    period: float = 0.0
    stall: int = 0
    evict: Callable[[], object] | None = None
    clock: LoopClock = REAL


@dataclass(frozen=True)
class Timed:
    """The measurements of a loop.

    Attributes:
        latencies: Nanoseconds per chunk until its answer: in an open loop from the instant at which the chunk was due,
            in a closed loop from the call.
        services: Nanoseconds per chunk from the call to the answer.
        seconds: Duration of the loop.
        usage: What the process used during the loop: `cpu_seconds`, `voluntary_switches`, `involuntary_switches`,
            `page_faults`, and `energy_joules` of the processor's package (None if the machine does not show it).
    """

    latencies: "array[int]"
    services: "array[int]"
    seconds: float
    usage: dict[str, float | None]


def run(step: Step, chunks: Sequence[Floats], count: int, course: Course) -> Timed:
    """Call a step function with `count` chunks and time each call.

    In an open loop, the latency of a chunk starts at the instant at which it was due, even if the chunk before is not
    yet answered. So a stall counts for every chunk that it delays, as it does for a microphone, which never waits.

    Args:
        step: The step function.
        chunks: The chunks, used over and over.
        count: Number of timed calls.
        course: When chunks come.
    """
    clock, latencies, services = course.clock, array("q"), array("q")
    for chunk in () if course.period else islice(cycle(chunks), SETTLE):
        step(chunk)
    with _measured(clock) as measured:
        first = clock.now() + LEAD
        for k, chunk in enumerate(islice(cycle(chunks), count)):
            due = first + round(k * course.period)
            if course.period:
                clock.sleep_until(due)
            if course.stall and k == count // 2:
                clock.sleep_until(clock.now() + course.stall)
            start = clock.now()
            step(chunk)
            end = clock.now()
            services.append(end - start)
            latencies.append(end - due if course.period else end - start)
            if course.evict is not None:
                _evict(course, due)
    return Timed(latencies, services, measured.seconds, measured.usage)


def _evict(course: Course, due: int) -> None:
    """Empty the caches, but stop in an open loop before the next chunk is due."""
    assert course.evict is not None  # noqa: S101  the caller has checked
    last = due + 0.75 * course.period
    for _ in range(EVICTIONS):
        if course.period and course.clock.now() > last:
            return
        course.evict()


@dataclass
class _Meter:
    """The duration and usage of a loop, set when the loop has ended."""

    seconds: float
    usage: dict[str, float | None]


@contextmanager
def _measured(clock: LoopClock) -> Iterator[_Meter]:
    """Measure the body of the `with` statement; garbage collection is off meanwhile."""
    meter = _Meter(0.0, {})
    enabled = gc.isenabled()
    gc.disable()
    before, start = _usage(), clock.now()
    try:
        yield meter
    finally:
        meter.seconds, after = (clock.now() - start) / 1e9, _usage()
        meter.usage = {name: _more(before[name], used) for name, used in after.items()}
        if enabled:
            gc.enable()


def _usage() -> dict[str, float | None]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "voluntary_switches": used.ru_nvcsw,
        "involuntary_switches": used.ru_nivcsw,
        "page_faults": used.ru_minflt + used.ru_majflt,
        "energy_joules": _energy(),
    }


def _more(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _energy() -> float | None:
    """Return the energy that the processor's package has used in joules (RAPL); None if Linux does not show it."""
    try:
        return int(ENERGY.read_text()) / 1e6
    except (OSError, ValueError):
        return None
