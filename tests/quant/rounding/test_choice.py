"""Budgets and choices: which limits are stated, and the choice without calibration."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from tidegate.quant.rounding.choice import NEAREST, Budget, Correction, all_nearest
from tidegate.quant.rounding.precision import Precision


@pytest.mark.parametrize(
    ("budget", "stated"),
    [
        (Budget(), False),
        (Budget(extra=0, other_bytes=100), False),
        (Budget(most_bytes=0), True),
        (Budget(most_error=0.0), True),
        (Budget(most_bytes=5, most_error=0.1), True),
    ],
)
def test_a_limit_of_bytes_or_of_the_error_is_stated_even_if_it_is_zero(budget: Budget, stated: bool) -> None:
    assert budget.stated is stated


def test_all_nearest_keeps_the_precisions_and_leaves_every_weight_to_be_rounded() -> None:
    precisions = {"a": Precision(4), "b": Precision(16)}
    choice = all_nearest(precisions)
    assert choice.precisions == precisions
    assert choice.method == NEAREST
    assert not choice.codes
    assert not choice.corrections
    assert not choice.options
    assert not choice.candidates
    assert not choice.gates
    assert choice.error == 0


def test_defaults_and_names() -> None:
    assert (NEAREST, Budget()) == ("nearest", Budget(0.05, None, None, 0))
    assert Correction("w", np.ones(2, np.float32), None).to_hidden is None
    with pytest.raises(FrozenInstanceError):
        Budget().extra = 1.0  # type: ignore[misc]
    choice = all_nearest({})
    assert choice != all_nearest({})  # two choices are not compared
    assert len({choice, choice}) == 1
