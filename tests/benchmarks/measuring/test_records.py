"""Records: how measurements become a row, and which figures are absent for which reason."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.benchmarks.measuring.records import SHARED, Entrant, EntrantRecord, Fields, Settings, row_of
from tidegate.benchmarks.peers.job import Job, Variant

JOB = Job(Path("/nowhere"), "A", 4, None)
ENTRANT = Entrant("mnn", Variant("int8", "Module"), "python")
OPEN = Settings(rate=100.0)


def turn(*times_us: float, seconds: float = 1.0, energy: float | None = None) -> Fields:
    """Return a worker's answer to the request `time`."""
    nanoseconds = np.array([round(1000 * time) for time in times_us], np.int64)
    packed = base64.b64encode(nanoseconds.tobytes()).decode()
    usage = {"cpu_seconds": 0.5, "voluntary_switches": 3, "involuntary_switches": 1, "page_faults": 2}
    return {"latencies": packed, "services": packed, "seconds": seconds, "usage": usage | {"energy_joules": energy}}


def load(**fields: Any) -> Fields:  # noqa: ANN401
    """Return a worker's answer to the request `load`."""
    figures = {"first_step_us": 9.0, "import_ms": 5.0, "load_ms": 1.0, "first_answer_ms": 7.0}
    return figures | {"file_bytes": 10, "peak_rss_bytes": 30, "rss_bytes": 20} | fields


def record(*processes: list[Fields], **fields: Any) -> EntrantRecord:  # noqa: ANN401
    """Return the measurements of an entrant, one list of turns per process."""
    return EntrantRecord(ENTRANT, [load(**fields) for _ in processes], {"error_rms": 0.1}, list(processes))


def test_a_row_has_percentiles_over_all_processes_and_the_interval_of_their_medians() -> None:
    row = row_of(JOB, Settings(), record([turn(1, 2), turn(3, 4)], [turn(5, 6), turn(7, 8)]))

    assert (row.name, row.case, row.steps, row.loop) == ("mnn int8 Module", "A", 4, "closed")
    assert (row.chunks, row.processes) == (8, 2)
    assert (row.p50_us, row.max_us) == (4.0, 8.0)
    assert row.interval_us == (2.5, 6.5)
    assert row.confidence == 0.5
    assert row.turns_us == (1.5, 3.5, 5.5, 7.5)
    assert (row.load_ms, row.error_rms, row.file_bytes) == (1.0, 0.1, 10)


def test_usage_is_summed_over_the_turns_and_shares_are_per_second() -> None:
    row = row_of(JOB, Settings(), record([turn(1, seconds=2.0, energy=3.0)], [turn(1, seconds=2.0, energy=5.0)]))

    assert (row.cpu_share, row.context_switches, row.page_faults) == (0.25, 8, 4)
    assert row.energy_joules == 2.0


def test_a_miss_is_a_latency_above_the_period() -> None:
    """At 100 chunks per second the next chunk is due after 10 ms."""
    row = row_of(JOB, OPEN, record([turn(10_000, 10_001, 30_000, 1, 20_000)]))

    assert (row.misses, row.longest_misses) == (3, 2)
    assert (row.loop, row.rate_hz) == ("open", 100.0)
    assert "misses" not in row.reasons


@pytest.mark.parametrize(
    ("figure", "reason"),
    [
        ("misses", "a closed loop has no rate"),
        ("p99_us", "4 chunks, wanted 100: run longer"),
        ("service_p99_us", "4 chunks, wanted 100: run longer"),
        ("import_ms", SHARED),
        ("peak_rss_bytes", SHARED),
        ("file_bytes", "it is built from weights in memory"),
        ("energy_joules", "this machine shows no RAPL counter"),
        ("error_rms", "no float64 run"),
    ],
)
def test_an_absent_figure_has_its_reason(figure: str, reason: str) -> None:
    absent = dict.fromkeys(("import_ms", "first_answer_ms", "peak_rss_bytes", "rss_bytes", "file_bytes"))
    made = record([turn(1, 2, 3, 4)], **absent)
    made.errors = {"reason": "no float64 run"}

    row = row_of(JOB, Settings(), made)

    assert getattr(row, figure) is None
    assert reason in row.reasons[figure]


def test_a_refused_entrant_has_a_row_with_the_reason() -> None:
    made = EntrantRecord(ENTRANT, [], {}, [], refusal="it has no such layer")

    row = row_of(JOB, OPEN, made)

    assert (row.p50_us, row.refusal, row.rate_hz) == (None, "it has no such layer", 100.0)


def test_another_build_has_its_own_name() -> None:
    other = Entrant("tidegate", Variant("W8A16", "push"), "python", "other build")

    assert row_of(JOB, Settings(), EntrantRecord(other, [], {}, [], "no")).peer == "other build"
    assert other.asked(JOB) == {
        "job": "/nowhere/job-4.json", "peer": "tidegate", "precision": "W8A16", "how": "push",
    }  # fmt: skip
