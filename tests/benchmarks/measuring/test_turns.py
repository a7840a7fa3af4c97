"""Turns within a process, on a clock that the steps themselves move: nothing sleeps."""

import os

import numpy as np
import pytest
from tidegate.benchmarks.measuring.turns import TURNS, in_turns, pinned, times_faster
from tidegate.benchmarks.peers.loops import SETTLE
from tools.clocks import Time

CHUNKS = [np.full((1, 1), value, np.float32) for value in range(3)]


def test_steppers_take_turns_and_get_the_time_of_their_own_calls() -> None:
    time, order = Time(), []

    def taking(name: str, microseconds: int) -> object:
        time.spend(1000 * microseconds)
        order.append(name)
        return None

    medians = in_turns([lambda _: taking("slow", 30), lambda _: taking("fast", 10)], CHUNKS, 200, time.clock())

    assert medians == [30, 10]
    assert order == (["slow"] * (SETTLE + 4) + ["fast"] * (SETTLE + 4)) * TURNS


def test_the_ratio_is_that_of_a_turn_whatever_the_machines_mood() -> None:
    """The machine is twice as slow for half of the turns."""
    assert times_faster([1, 1, 1, 2, 2], [2, 2, 2, 4, 4]) == 2
    assert times_faster([1, 1, 2], [2, 4, 4]) == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not pin processes")
def test_the_core_is_given_back_even_after_an_error() -> None:
    before = os.sched_getaffinity(0)

    def fail() -> None:
        with pinned() as core:
            assert os.sched_getaffinity(0) == {core}
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()

    assert os.sched_getaffinity(0) == before
