"""The machine without a runtime: a step that does nothing."""

from pathlib import Path

import numpy as np
from tidegate.benchmarks.peers import ADAPTERS, MACHINE, machine
from tidegate.benchmarks.peers.job import Job


def test_a_step_returns_nothing_so_that_it_has_no_error() -> None:
    step = machine.load(Job(Path(), "A", 1, None), machine.VARIANTS[0])

    assert step(np.zeros((1, 3), np.float32)) is None


def test_it_is_no_peer_that_can_be_asked_for() -> None:
    assert MACHINE not in ADAPTERS
    assert machine.__name__.endswith(f".{MACHINE}")
