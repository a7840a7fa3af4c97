"""Notices: few lines, exact counts."""

from tidegate.runtime.live.notices import Notices
from tools.live import Hand


def test_row_43_a_million_faults_are_a_bounded_log_with_exact_counts() -> None:
    """In 100 seconds: a line at the first fault, then one in 10 seconds, each with the number of those left out."""
    hand = Hand()
    notices = Notices(hand.clock())
    lines = []
    for number in range(1_000_000):
        notices("late", f"chunk {number}")
        hand.time += 1e-4
        if number % 1000 == 0:
            lines += notices.lines()

    assert notices.counts == {"late": 1_000_000}
    assert lines[0] == "chunk 0"
    assert len(lines) == 10
    assert all(line.endswith("more of this kind before)") for line in lines[1:])
    said = sum(int(line.split("(")[1].split()[0]) + 1 for line in lines[1:]) + 1
    assert 900_000 < said <= 1_000_000


def test_kinds_are_apart_and_lines_that_nobody_reads_are_bounded() -> None:
    notices = Notices(Hand().clock())
    for kind in range(1000):
        notices(str(kind), f"fault {kind}")

    assert len(notices.lines()) == 64
    assert len(notices.counts) == 1000
    assert notices.lines() == []
