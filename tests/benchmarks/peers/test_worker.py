"""The worker: its requests, its protocol, and that output of libraries does not mix with answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import by_hand, worker
from tidegate.benchmarks.peers.job import EXACT, INEXACT, CannotRunError, Job, Step, Variant
from tidegate.benchmarks.peers.worker import Worker

TIME = {"count": 12, "period": 0.0, "stall": 0, "cold": False}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A small stack."""
    return stack_job(tmp_path, stacks.Case("small", 3, 4, 1), 4)


def load(job: Job, peer: str = "by_hand") -> dict[str, Any]:
    """Return the request to load a job."""
    return {"job": str(job.path), "peer": peer, "precision": "float32", "how": "loop"}


def test_times_from_the_start_are_those_of_the_first_job(job: Job) -> None:
    one = Worker()

    first, second = one.load(load(job)), one.load(load(job))

    assert 0 < first["import_ms"] < first["first_answer_ms"]
    assert second["import_ms"] is second["first_answer_ms"] is second["rss_bytes"] is None
    assert second["load_ms"] > 0
    assert "numpy" in first["versions"]
    assert one.footprint({})["installed_bytes"] > 1_000_000


def test_errors_are_those_of_the_whole_signal(job: Job) -> None:
    one = Worker()
    one.load(load(job))

    errors = one.errors({})

    assert 0 < errors["error_rms"] <= errors["error_max"] < 1e-6
    assert errors["answer_rms"] == pytest.approx(np.sqrt(np.mean(job.exact() ** 2)))


def test_of_several_outputs_the_first_is_compared(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = by_hand.load

    def named(job: Job, variant: Variant) -> Step:
        step = plain(job, variant)
        return lambda chunk: {"y": step(chunk), "other": np.zeros(1)}

    monkeypatch.setattr(by_hand, "load", named)
    one = Worker()
    one.load(load(job))

    assert one.errors({})["error_max"] < 1e-6


def test_without_exact_answers_the_reason_is_given(job: Job) -> None:
    job.made(EXACT).unlink()
    job.made(INEXACT).write_text("no float64 run")
    one = Worker()
    one.load(load(job))

    assert one.errors({}) == {"reason": "no float64 run"}


def test_a_peer_that_returns_nothing_has_no_errors(job: Job) -> None:
    one = Worker()
    one.load(load(job, "machine"))

    assert one.errors({}) == {"reason": "it answers nothing"}


def test_a_loop_is_timed_call_by_call(job: Job) -> None:
    one = Worker()
    with pytest.raises(CannotRunError, match="nothing is loaded"):
        one.time(TIME)
    one.load(load(job))

    timed = one.time(TIME)

    assert set(timed) == {"latencies", "services", "seconds", "usage"}
    assert timed["seconds"] > 0


def test_requests_and_answers_are_lines_of_json(job: Job) -> None:
    requests = [
        {"do": "prepare", **load(job)},
        {"do": "load", **load(job)},
        {"do": "load", **load(job, "no_such_peer")},
        {"do": "time", **TIME},
    ]
    text = "".join(json.dumps(request) + "\n" for request in requests)
    command = [sys.executable, "-m", worker.__name__]

    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)

    prepared, loaded, unknown, timed = map(json.loads, done.stdout.splitlines())
    assert prepared == {"ok": {}}
    assert loaded["ok"]["load_ms"] > 0
    assert unknown["failed"].startswith("ModuleNotFoundError: No module named")
    assert len(timed["ok"]["usage"]) == 5


def test_text_that_a_library_prints_is_no_answer(job: Job) -> None:
    code = f"""
from {by_hand.__package__} import by_hand, worker
load = by_hand.load
def noisy(*arguments):
    print("a message of the library")
    return load(*arguments)
by_hand.load = noisy
worker.main()
"""
    request = json.dumps({"do": "load", **load(job)})
    command = [sys.executable, "-c", code]

    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True)

    (answer,) = done.stdout.splitlines()
    assert "ok" in json.loads(answer)
    assert "a message of the library" in done.stderr
