"""Clocks: how many frames of a value are ready, which clock leads, how late a value is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.runtime.clocks import Clock
from tidegate.runtime.contract import Blocks
from tidegate.runtime.errors import UnsupportedError

GRID = Blocks(4, 2)
FRAMES = range(60)

clocks = st.recursive(
    st.builds(Clock, st.none(), st.integers(0, 5)),
    lambda inner: st.builds(Clock, inner, st.integers(0, 5)),
    max_leaves=3,
)


def test_a_delayed_clock_has_no_frame_before_its_delay() -> None:
    clock = Clock().behind(1).behind(2)
    assert [clock.ready(frames, None) for frames in (0, 2, 3, 5)] == [0, 0, 0, 2]


def test_a_block_is_ready_when_its_lookahead_is_complete() -> None:
    clock = Clock().in_blocks()
    assert [clock.ready(frames, GRID) for frames in (5, 6, 9, 10)] == [0, 4, 4, 8]


def test_frames_of_one_block_for_the_whole_stream_are_never_ready_before_its_end() -> None:
    whole = Blocks(None, 0, 100)
    assert Clock().in_blocks().ready(99, whole) == 0
    assert Clock().in_blocks().lag(whole) is None


def test_blocks_of_blocks_end_before_what_recurs_over_them_does() -> None:
    clock = Clock().behind(1)
    for _ in range(64):
        clock = clock.in_blocks()
    assert clock.lag(GRID) == 64 * (4 - 1 + 2) + 1
    message = "^65 layers that run backward follow each other, no backend takes more than 64; export a model with fewer"
    with pytest.raises(UnsupportedError, match=message):
        clock.in_blocks()


def test_which_of_two_clocks_leads_says_the_clock_from_which_both_come() -> None:
    ahead = Clock().behind(1)
    assert ahead.leads(ahead.in_blocks().in_blocks())
    assert not ahead.leads(Clock().in_blocks().behind(1).in_blocks())


@given(clocks, clocks)
def test_a_clock_that_leads_never_has_fewer_frames(first: Clock, second: Clock) -> None:
    if first.leads(second):
        assert all(first.ready(frames, GRID) >= second.ready(frames, GRID) for frames in FRAMES)
    assert (first.leads(second) and second.leads(first)) == (first == second)


@given(clocks)
def test_lag_is_the_most_frames_that_a_value_is_late(clock: Clock) -> None:
    lag = clock.lag(GRID)
    assert lag is not None
    assert all(frames - clock.ready(frames, GRID) <= lag for frames in FRAMES)
