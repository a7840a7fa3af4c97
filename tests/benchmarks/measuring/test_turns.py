"""Turns inside a process, on a simulated clock that the steps move."""

import os

import numpy as np
import pytest
from tidegate.benchmarks.measuring.turns import TURNS, in_turns, pinned, times_faster
from tidegate.benchmarks.peers.loops import SETTLE
from tools.clocks import Time

CHUNKS = [np.full((1, 1), value, np.float32) for value in range(3)]


def test_steps_take_turns_and_get_the_time_of_their_own_calls() -> None:
    time, order = Time(), []

    def taking(name: str, microseconds: int) -> object:
        time.spend(1000 * microseconds)
        order.append(name)
        return None

    medians = in_turns([lambda _: taking("slow", 30), lambda _: taking("fast", 10)], CHUNKS, 200, time.clock())

    assert medians == [30, 10]
    assert order == (["slow"] * (SETTLE + 4) + ["fast"] * (SETTLE + 4)) * TURNS


def test_the_ratio_does_not_depend_on_the_speed_of_the_machine() -> None:
    """The machine is half as fast in some turns as in the others."""
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
