"""Assignments of precisions: the frontier has the best of all possible ones."""

from dataclasses import FrozenInstanceError
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.quant.rounding.budget import FRONTIER, WORTH, Assignment, Option, bytes_of, frontier, ladder, within
from tidegate.quant.rounding.precision import Precision

OPTIONS = st.lists(
    st.lists(st.builds(Option, st.just(Precision()), st.integers(1, 50), st.floats(0.001, 1)), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@given(OPTIONS, st.integers(1, 200), st.floats(0.01, 2))
def test_the_best_assignment_within_a_budget_and_the_cheapest_that_is_good_enough_are_found(
    options: list[list[Option]], most_bytes: int, most_error: float
) -> None:
    every = [(sum(o.bytes for o in pick), float(np.sqrt(sum(o.error**2 for o in pick)))) for pick in product(*options)]
    assignments = frontier(options)
    affordable = [error for count, error in every if count <= most_bytes]
    best = within(assignments, most_bytes, 0)
    assert (best is None) == (not affordable)
    if best is not None:
        assert best.bytes <= most_bytes
        assert best.error <= WORTH * min(affordable) * (1 + 1e-9)
    good = [count for count, error in every if error <= most_error * (1 - 1e-9)]
    cheapest = within(assignments, np.inf, most_error)
    if good and cheapest is not None:
        assert cheapest.bytes <= min(good)
    assert cheapest is not None or not good


def test_of_more_assignments_than_are_kept_those_of_all_sizes_stay() -> None:
    sizes = range(10**6, 10**6 + 3 * FRONTIER)
    kept = frontier([[Option(Precision(), size, 1 / size) for size in sizes]])
    steps = np.diff([one.bytes for one in kept])
    assert len(kept) == FRONTIER
    assert (steps.min(), steps.max(), kept[0].bytes) == (3, 3, 10**6)


def test_bytes_are_codes_and_scales() -> None:
    assert bytes_of((1024, 40), Precision()) == 1024 * 40 + 1024 * 4
    assert bytes_of((3, 5), Precision(4)) == 8 + 12
    assert bytes_of((4, 33), Precision(16, 16, 32)) == 4 * 33 * 2 + 4 * 4 * 2
    assert bytes_of((4, 33), Precision.parse("float32")) == 4 * 33 * 4


def test_precisions_only_rise_from_the_one_asked_for_or_also_fall() -> None:
    base = Precision.parse("W4A8g32")
    up = [str(p) for p in ladder(base, (64, 40), groupable=True, upwards=True)]
    assert up == ["W4A8g32", "W4A8g8", "W8A8", "W8A8g32", "W8A8g8", "W16A8"]
    every = [str(p) for p in ladder(base, (64, 40), groupable=True, upwards=False)]
    assert every == ["W4A8g32", "W4A8", *up[1:]]
    assert [str(p) for p in ladder(Precision(), (64, 40), groupable=False, upwards=True)] == ["W8A16", "W16A16"]


def test_the_limits_of_a_budget_are_allowed() -> None:
    cheap, good = Assignment(10, 0.5, (Precision(4),)), Assignment(20, 0.25, (Precision(8),))
    assert within([cheap, good], 20, 0) == good
    assert within([cheap, good], 19, 0) == cheap
    assert within([cheap, good], 9, 0) is None
    assert within([cheap, good], np.inf, 0.5) == cheap
    assert within([cheap, good], np.inf, 0.4) == good
    assert within([cheap, good], np.inf, 0.2) is None
    assert within([cheap, Assignment(20, 0.5 / 1.02, ())], 20, 0) != cheap
    assert within([cheap, Assignment(20, 0.5 / 1.005, ())], 20, 0) == cheap  # not worth its bytes


def test_a_frontier_is_the_product_of_all_options_without_those_that_are_beaten() -> None:
    a, b = Precision(4), Precision(8)
    first, second = [Option(a, 1, 3.0), Option(b, 2, 0.0)], [Option(a, 10, 4.0), Option(b, 10, 5.0), Option(b, 30, 0.0)]
    assert frontier([first, second]) == [
        Assignment(11, 5.0, (a, a)),
        Assignment(12, 4.0, (b, a)),
        Assignment(31, 3.0, (a, b)),
        Assignment(32, 0.0, (b, b)),
    ]
    assert frontier([]) == [Assignment(0, 0.0, ())]
    with pytest.raises(FrozenInstanceError):
        first[0].bytes = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        frontier([])[0].bytes = 3  # type: ignore[misc]


def test_as_many_assignments_are_kept_as_the_frontier_has() -> None:
    options = [Option(Precision(), size, 1 / size) for size in range(1, FRONTIER + 2)]
    assert [one.bytes for one in frontier([options[:-1]])] == [*range(1, FRONTIER + 1)]
    kept = [one.bytes for one in frontier([options])]
    assert len(kept) <= FRONTIER == 2000
    assert kept[0] == 1


def test_few_assignments_are_all_kept_however_near_they_are() -> None:
    sizes = (1, 2, 3, 10**9)
    assert [one.bytes for one in frontier([[Option(Precision(), size, 1 / size) for size in sizes]])] == [*sizes]


def test_a_ladder_has_no_group_as_large_as_the_inputs() -> None:
    def steps(inputs: int, base: str, *, upwards: bool) -> list[str]:
        return [str(p) for p in ladder(Precision.parse(base), (64, inputs), groupable=True, upwards=upwards)]

    assert steps(32, "W8A16", upwards=False) == ["W8A16", "W4A16", "W4A16g8", "W8A16g8", "W16A16"]
    assert steps(33, "W8A16", upwards=True) == ["W8A16", "W8A16g32", "W8A16g8", "W16A16"]
    assert steps(8, "W16A16", upwards=True) == ["W16A16"]
