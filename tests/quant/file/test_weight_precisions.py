"""Patterns of weight names, and the precision that each weight gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.quant.file.weight_precisions import DEFAULT, choose, pinned
from tidegate.quant.file.weights import Weight
from tidegate.runtime.errors import QuantizationError

NAMES = ["lstm.W", "lstm.R", "head"]


def weight(name: str, shape: tuple[int, ...] = (8, 40), reason: str = "") -> Weight:
    return Weight(name, "an operator", recurrent=True, channel_axis=0, values=np.ones(shape, np.float32), reason=reason)


WEIGHTS = [weight(name) for name in NAMES]


def chosen(asked: str | dict[str, str], weights: list[Weight] | None = None) -> list[str]:
    return [str(precision) for precision in choose(asked, weights or WEIGHTS).values()]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (DEFAULT, ["W8A16", "W8A16", "W8A16"]),
        ("W4A8g32", ["W4A8g32"] * 3),
        ({}, ["W8A16", "W8A16", "W8A16"]),
        ({"*": "W4A8"}, ["W4A8"] * 3),
        ({"lstm.*": "W16A16"}, ["W16A16", "W16A16", "W8A16"]),
        ({"lstm.*": "W16A16", "*.R": "W4A8"}, ["W16A16", "W4A8", "W8A16"]),
        ({"*.R": "W4A8", "lstm.*": "W16A16"}, ["W16A16", "W16A16", "W8A16"]),
        ({"head": "float32", "*": "W4A8"}, ["W4A8", "W4A8", "float32"]),
    ],
)
def test_the_last_match_wins_and_the_star_is_the_default(asked: str | dict[str, str], expected: list[str]) -> None:
    assert chosen(asked) == expected


@given(st.permutations(["*", "lstm.*", "lstm.R"]))
def test_the_place_of_the_star_does_not_matter(patterns: list[str]) -> None:
    texts = {"*": "W4A8", "lstm.*": "W16A16", "lstm.R": "W8A8"}
    wanted = [pattern for pattern in patterns if pattern != "*"]
    assert chosen({p: texts[p] for p in patterns}) == chosen({"*": texts["*"]} | {p: texts[p] for p in wanted})


@pytest.mark.parametrize(("inputs", "expected"), [(31, "W4A8"), (32, "W4A8"), (33, "W4A8g32")])
def test_a_group_of_all_inputs_is_one_scale_per_channel(inputs: int, expected: str) -> None:
    assert chosen("W4A8g32", [weight("w", (8, inputs))]) == [expected]


def test_convolutions_have_no_groups() -> None:
    assert chosen("W4A8g8", [weight("w", (8, 40, 3))]) == ["W4A8"]


def test_a_weight_that_stays_float_keeps_what_was_asked_for() -> None:
    assert chosen("W4A8g8", [weight("w", (), "not a constant of the graph")]) == ["W4A8g8"]


def test_a_pattern_that_matches_no_weight_is_refused() -> None:
    with pytest.raises(QuantizationError, match=r"no weight matches 'gru\.\*'; there are lstm\.W, lstm\.R, head"):
        choose({"gru.*": "W8A8"}, WEIGHTS)


def test_a_precision_that_does_not_exist_is_refused() -> None:
    with pytest.raises(QuantizationError, match="precision is 'W2A8', wanted W4, W8 or W16"):
        choose({"head": "W2A8"}, WEIGHTS)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("W4A8", set()), ({"*": "W4A8"}, set()), ({"*": "W4A8", "lstm.*": "W8A8"}, {"lstm.W", "lstm.R"})],
)
def test_weights_of_a_pattern_other_than_the_star_are_pinned(asked: str | dict[str, str], expected: set[str]) -> None:
    assert pinned(asked, WEIGHTS) == expected


@pytest.mark.parametrize(("precision", "most"), [("W4A16", 7), ("W8A8", 127), ("W16A16", 32767)])
def test_the_largest_weight_is_the_largest_code_times_the_largest_scale(precision: str, most: int) -> None:
    one = weight("head")
    one.values[3, 5] = -most * 2.0**40
    assert chosen(precision, [one]) == [precision]
    one.values[3, 5] = np.nextafter(one.values[3, 5], np.float32(-np.inf))
    with pytest.raises(QuantizationError, match=r"weight 'head' holds .*, and codes of .* bits reach"):
        chosen(precision, [one])
    assert chosen("float32", [one]) == ["float32"]
