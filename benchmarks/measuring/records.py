"""What the harness measured of one variant, and how that becomes a row of the result."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.arrays import Array
from ..peers import job
from .results import TAILS, Loop, Row, histogram_of, longest_run, percentiles, series, spread

Fields = dict[str, Any]
SHARED = "its processes ran another job first; the row of that job has the figure"


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        rate: Chunks per second in an open loop; 0 means a closed loop.
        seconds: Measuring time of each variant in each process.
        processes: Fresh processes of each variant, started one after the other.
        turns: Number of turns into which the time of a process is divided.
        core: The core that all processes are pinned to; None means not pinned.
        stall: Seconds for which everything stops once, in the middle of the first turn.
        cold: Whether other work empties the caches between chunks.
        against: The Python of another environment, whose tidegate is measured too; empty if there is none.
    """

    rate: float = 0.0
    seconds: float = 1.0
    processes: int = 3
    turns: int = 5
    core: int | None = None
    stall: float = 0.0
    cold: bool = False
    against: str = ""

    @property
    def period(self) -> float:
        """Nanoseconds from one chunk to the next; 0 in a closed loop."""
        return 1e9 / self.rate if self.rate else 0.0

    @property
    def loop(self) -> Loop:
        """`open` or `closed`."""
        return "open" if self.rate else "closed"


@dataclass(frozen=True)
class Entrant:
    """A variant that is measured, and the environment it runs in.

    Attributes:
        peer: The name of the peer.
        variant: One way to run the peer.
        python: The interpreter of the environment.
        name: What rows call the peer; empty means by its own name.
    """

    peer: str
    variant: job.Variant
    python: str
    name: str = ""

    def asked(self, what: job.Job) -> Fields:
        """Return the fields of a request to a worker that name this variant and the job."""
        named = {"peer": self.peer, "precision": self.variant.precision, "how": self.variant.how}
        return {"job": str(what.path), **named}


@dataclass
class EntrantRecord:
    """The measurements of one entrant, process after process.

    Attributes:
        entrant: The variant that is measured.
        loads: For each process, the worker's answer to `load`.
        errors: The first process's answers to `errors` and `footprint`.
        turns: For each process and turn, the worker's answer to `time`.
        refusal: Why the entrant is not measured any further; empty while it is.
    """

    entrant: Entrant
    loads: list[Fields]
    errors: Fields
    turns: list[list[Fields]]
    refusal: str = ""


def row_of(what: job.Job, settings: Settings, record: EntrantRecord) -> Row:
    """Return the row of the result that follows from the measurements."""
    name = record.entrant.name or record.entrant.peer
    if record.refusal:
        return refused(what, settings, name, record.entrant.variant, record.refusal)
    turns = [turn for process in record.turns for turn in process]
    latencies = np.concatenate([_times(turn, "latencies") for turn in turns])
    medians = [_median_us([turn], "latencies") for turn in turns]
    of_processes = [_median_us(process, "latencies") for process in record.turns]
    fields: dict[str, Any] = _names(what, settings, name, record.entrant.variant)
    services = percentiles(np.concatenate([_times(turn, "services") for turn in turns]))
    fields |= percentiles(latencies) | _missed(settings, latencies) | _used(turns) | _loaded(record)
    return Row(
        **fields,
        chunks=len(latencies),
        processes=len(record.turns),
        interval_us=(min(of_processes), max(of_processes)),
        confidence=1 - 2.0 ** (1 - len(of_processes)),
        service_p50_us=services["p50_us"],
        service_p99_us=services.get("p99_us"),
        histogram=histogram_of(latencies),
        turns_us=tuple(medians),
        series_us=series(latencies),
        unsteady=spread(medians),
        reasons=_reasons(settings, record) | _too_few(len(latencies)),
    )


def _loaded(record: EntrantRecord) -> Fields:
    """Return the figures of loading: medians over the processes for times, the first process's for the rest."""
    times = ("first_step_us", "import_ms", "load_ms", "first_answer_ms")
    first = ("file_bytes", "peak_rss_bytes", "rss_bytes")
    of_errors = ("error_rms", "error_max", "installed_bytes")
    known = [name for name in times if record.loads[0][name] is not None]
    return (
        {name: float(np.median([load[name] for load in record.loads])) for name in known}
        | {name: record.loads[0][name] for name in first}
        | {name: record.errors.get(name) for name in of_errors}
    )


def _names(what: job.Job, settings: Settings, peer: str, variant: job.Variant) -> Fields:
    named = {"peer": peer, "precision": variant.precision, "how": variant.how, "case": what.case, "steps": what.steps}
    return named | {"loop": settings.loop, "rate_hz": settings.rate or None}


def refused(what: job.Job, settings: Settings, peer: str, variant: job.Variant, reason: str) -> Row:
    """Return the row of a variant that could not be measured, with the reason."""
    return Row(**_names(what, settings, peer, variant), reasons={"row": reason})


def _median_us(turns: Sequence[Fields], name: str) -> float:
    return float(np.median(np.concatenate([_times(turn, name) for turn in turns]))) / 1e3


def _times(turn: Fields, name: str) -> Array:
    return np.frombuffer(base64.b64decode(turn[name]), np.int64)


def _missed(settings: Settings, latencies: Array) -> dict[str, int]:
    if settings.loop == "closed":
        return {}
    missed = latencies > settings.period
    return {"misses": int(np.count_nonzero(missed)), "longest_misses": longest_run(missed)}


def _used(turns: Sequence[Fields]) -> dict[str, Any]:
    shown = [name for name, value in turns[0]["usage"].items() if value is not None]
    total = {name: sum(turn["usage"][name] for turn in turns) for name in shown}
    seconds = sum(turn["seconds"] for turn in turns)
    energy = {"energy_joules": total["energy_joules"] / seconds} if "energy_joules" in total else {}
    return energy | {
        "cpu_share": total["cpu_seconds"] / seconds,
        "context_switches": int(total["voluntary_switches"] + total["involuntary_switches"]),
        "page_faults": int(total["page_faults"]),
    }


def _too_few(chunks: int) -> dict[str, str]:
    """Return, for each tail percentile that needs more chunks than there are, the reason why it is absent."""
    tails = TAILS | {"service_p99_us": TAILS["p99_us"]}
    return {name: f"{chunks} chunks, wanted {least}: run longer" for name, least in tails.items() if chunks < least}


def _reasons(settings: Settings, record: EntrantRecord) -> dict[str, str]:
    found = {}
    if settings.loop == "closed":
        found = dict.fromkeys(("rate_hz", "misses", "longest_misses"), "a closed loop has no rate, so nothing is due")
    if record.loads[0]["first_answer_ms"] is None:
        found |= dict.fromkeys(("import_ms", "first_answer_ms", "peak_rss_bytes", "rss_bytes"), SHARED)
    if record.loads[0]["file_bytes"] is None:
        found["file_bytes"] = "it is built from weights in memory"
    if "reason" in record.errors:
        found |= {"error_rms": record.errors["reason"], "error_max": record.errors["reason"]}
    if record.turns[0][0]["usage"].get("energy_joules") is None:
        found["energy_joules"] = "this machine shows no RAPL counter"
    return found
