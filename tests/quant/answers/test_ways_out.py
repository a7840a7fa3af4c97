"""Ways out: the smallest change whose trial meets the bound is given, and nothing that was not tried."""

from collections.abc import Mapping

import numpy as np
import pytest
from tidegate.quant.answers.ways_out import BOUND, percent, way_out
from tidegate.quant.file.weights import Weight
from tidegate.quant.rounding.choice import Choice, all_nearest
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.errors import QuantizationError

SHARES = {"a": 0.02, "b": 0.5, "c": 0.3}
WEIGHTS = [Weight(name, "LSTM", True, 1, np.zeros((1, 4, 2), np.float32), "") for name in SHARES]


def measured(choice: Choice, *, activations: float = 0.0) -> float:
    """Return an error: each weight with fewer than 16 bits adds its share, 8-bit activations add another."""
    weights = sum(SHARES[name] ** 2 for name, one in choice.precisions.items() if one.weight_bits < 16)
    eight = any(one.activation_bits == 8 for one in choice.precisions.values())
    return float(np.sqrt(weights + (activations * eight) ** 2))


def choice(text: str, **others: str) -> Choice:
    texts = dict.fromkeys(SHARES, text) | others
    return all_nearest({name: Precision.parse(one) for name, one in texts.items()})


def test_the_fewest_weights_get_16_bits_the_worst_first() -> None:
    assert way_out(WEIGHTS, choice("W8A16"), measured) == "choose precision b=W16A16, c=W16A16: then they err by 2%"
    assert way_out(WEIGHTS, choice("W8A16"), measured, 0.4) == "choose precision b=W16A16: then they err by 30%"


def test_all_weights_get_16_bits_if_fewer_are_not_enough() -> None:
    def together(one: Choice) -> float:
        return 0.0 if all(p.weight_bits >= 16 for p in one.precisions.values()) else max(0.11, measured(one))

    assert way_out(WEIGHTS, choice("W4A16"), together).startswith("choose precision b=W16A16, c=W16A16, a=W16A16: ")


@pytest.mark.parametrize(
    ("asked", "activations", "wanted"),
    [
        (choice("W16A8"), 0.5, "choose 16-bit activations (A16 in place of A8): then they err by 0%"),
        (
            choice("W8A8", c="W16A8"),
            0.5,
            "choose 16-bit activations (A16 in place of A8) and choose precision b=W16A16: then they err by 2%",
        ),
    ],
)
def test_16_bit_activations_come_first(asked: Choice, activations: float, wanted: str) -> None:
    assert way_out(WEIGHTS, asked, lambda one: measured(one, activations=activations)) == wanted


def test_an_option_is_left_out_before_precisions_change() -> None:
    found = way_out(WEIGHTS, choice("W16A16"), measured, leave_out="ranges")
    assert found == "leave ranges out: then they err by 0%"
    found = way_out(WEIGHTS, choice("W8A16"), measured, 0.4, leave_out="ranges")
    assert found == "leave ranges out and choose precision b=W16A16: then they err by 30%"


def test_nothing_is_said_if_nothing_helps() -> None:
    assert way_out(WEIGHTS, choice("W4A8"), lambda _: 0.5) == ""
    assert way_out(WEIGHTS, choice("W16A16"), lambda _: 0.5) == ""


def test_a_change_that_cannot_be_made_is_not_advice() -> None:
    def without_16_bits(one: Choice) -> float:
        if any(p.weight_bits == 16 for p in one.precisions.values()):
            raise QuantizationError("the file's operator set cannot be converted")
        return measured(one)

    assert way_out(WEIGHTS, choice("W8A16"), without_16_bits) == ""


def test_weights_that_stay_float_are_left_alone() -> None:
    seen: list[Mapping[str, Precision]] = []

    def remembered(one: Choice) -> float:
        seen.append(one.precisions)
        return measured(one)

    assert "b=" not in way_out(WEIGHTS, choice("W8A16", b="float32"), remembered, BOUND)
    assert {str(one["b"]) for one in seen} == {"float32"}


@pytest.mark.parametrize(("error", "text"), [(1.06, "106%"), (0.126, "13%"), (0.0032, "0.32%"), (25.0, "2500%")])
def test_percentages_are_short(error: float, text: str) -> None:
    assert percent(error) == text
