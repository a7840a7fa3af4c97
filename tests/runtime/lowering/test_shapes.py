"""Changes of axes that the engine cannot follow are refused by name."""

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError, UnsupportedError
from tools.drafts import Build, Draft, refuses


def squeeze_of_weight(d: Draft) -> None:
    d.answer(d.squeeze(d.weights(1, 3, 3, axis=1), 0))


def squeeze_without_axes(d: Draft) -> None:
    d.answer(d.add("Squeeze", d.lstm("x")))


def dropout_in_training(d: Draft) -> None:
    d.answer(d.add("Dropout", d.layer("x"), d.tensor(0.5), d.tensor(True, np.bool_)))


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "Squeeze of time": (
        lambda d: d.answer(d.squeeze(d.layer("x"), 0)),
        UnsupportedError,
        "it removes axes [0] of (time, batch, feature)",
    ),
    "Squeeze without axes": (squeeze_without_axes, UnsupportedError, "it removes axes [] of (time, one, batch, feat"),
    "Squeeze of a weight": (squeeze_of_weight, UnsupportedError, "Squeeze 'squeeze': its input is not a signal"),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


def test_a_dropout_in_training_is_refused() -> None:
    message = "Dropout 'dropout': it drops values at random (training_mode may be true)"
    refuses(dropout_in_training, UnsupportedError, message)
