"""The two loops: closed, where a chunk comes when the one before is answered, and open, where it comes when it is due.

Both take their clock from the caller, so that tests run them on one of their own.
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
EVICTIONS = 64  # slices after each answer
LEAD = 20_000_000  # nanoseconds from the start of an open loop until its first chunk is due
SETTLE = 10  # calls at the start of a closed loop that are not counted: other contenders have had the caches


@dataclass(frozen=True)
class LoopClock:
    """Time.

    Attributes:
        now: Nanoseconds, ever rising.
        sleep_until: Returns when `now` has reached a value, or later.
    """

    now: Callable[[], int]
    sleep_until: Callable[[int], None]


def _sleep_until(instant: int) -> None:
    while (left := instant - time.perf_counter_ns()) > 0:
        time.sleep(left / 1e9)


REAL = LoopClock(time.perf_counter_ns, _sleep_until)


@dataclass(frozen=True)
class Course:
    """When chunks come, and what comes between them.

    Attributes:
        period: Nanoseconds from one chunk to the next in an open loop; 0: a closed loop.
        stall: Nanoseconds for which everything stands still, once, in the middle of the run; 0: none.
        evict: Fills a slice of the caches with something else, called `EVICTIONS` times after each answer; an open loop
            stops it a quarter of the period before the next chunk. None: caches stay warm.
        clock: What tells the time.
    """

    period: float = 0.0
    stall: int = 0
    evict: Callable[[], object] | None = None
    clock: LoopClock = REAL


@dataclass(frozen=True)
class Timed:
    """What a loop measured.

    Attributes:
        latencies: Nanoseconds a chunk: in an open loop from the instant it was due to its answer, in a closed one from
            the call to the answer.
        services: Nanoseconds from the call to the answer.
        seconds: How long the loop took.
        usage: What the process used meanwhile: `cpu_seconds`, `voluntary_switches`, `involuntary_switches`,
            `page_faults`, and `energy_joules` of the processor's package, None where it is not shown.
    """

    latencies: "array[int]"
    services: "array[int]"
    seconds: float
    usage: dict[str, float | None]


def run(step: Step, chunks: Sequence[Floats], count: int, course: Course) -> Timed:
    """Hand `count` chunks to a step, over and over, and time each.

    In a closed loop a chunk comes as soon as the one before is answered. In an open one it comes every `period`,
    whether or not it is: its latency runs from the instant at which it was due, so that a stall counts for every chunk
    that it delayed, as it does for a microphone that does not wait.
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
    assert course.evict is not None  # noqa: S101  the caller looked
    last = due + 0.75 * course.period
    for _ in range(EVICTIONS):
        if course.period and course.clock.now() > last:
            return
        course.evict()


@dataclass
class _Meter:
    """What a loop took: known once it has ended."""

    seconds: float
    usage: dict[str, float | None]


@contextmanager
def _measured(clock: LoopClock) -> Iterator[_Meter]:
    """Measure what runs inside; no garbage is collected meanwhile."""
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
    """Return what the processor's package has used, in joules, where Linux shows it (RAPL)."""
    try:
        return int(ENERGY.read_text()) / 1e6
    except (OSError, ValueError):
        return None
