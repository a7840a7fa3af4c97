"""Changes of axes that the engine cannot follow are refused by name."""

from typing import Any

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.lowering.lower import lower
from tools.drafts import Build, Draft, part, refuses
from tools.float_graphs import FEATURES, Node, check, graph, node


def squeeze_of_weight(d: Draft) -> None:
    d.answer(d.squeeze(d.weights(1, 3, 3, axis=1), 0))


def squeeze_without_axes(d: Draft) -> None:
    d.answer(d.add("Squeeze", d.lstm("x")))


def dropout_in_training(d: Draft) -> None:
    d.answer(d.add("Dropout", d.layer("x"), d.tensor(0.5), d.tensor(True, np.bool_)))


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "Squeeze of time": (
        part(lambda d: d.answer(d.squeeze(d.layer("x"), 0))),
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


# ---- Expand ----


def test_a_constant_vector_is_repeated_in_each_frame() -> None:
    vector = np.linspace(-1, 1, 3)
    nodes = [
        *(node("Shape", "x", "s"), node("Slice", "s b e z", "lead"), node("Concat", "lead n", "w", axis=0)),
        *(node("Expand", "c w", "r"), node("Concat", "x r", axis=2)),
    ]
    seen = check(graph(nodes, c=vector, b=[0], e=[2], z=[0], n=[3]))
    np.testing.assert_array_equal(seen[:, FEATURES:], np.tile(vector.astype(np.float32), (len(seen), 1)))


def test_an_expand_that_changes_nothing() -> None:
    seen = check(graph([node("Expand", "x r", "w"), node("Relu", "w")], r=[1, 1, 6]))
    assert seen.shape[1] == FEATURES


EXPANDS: list[tuple[list[Node], dict[str, Any], str]] = [
    (
        [node("Slice", "x s e a", "o"), node("Expand", "o r")],
        {"s": [0], "e": [1], "a": [2], "r": [1, 7, 6]},
        r"the Expand': it widens \(time, batch, feature\) to \[1, 7, 6\], wanted features only",
    ),
    (
        [node("Gather", "x i", "l"), node("Shape", "x", "s"), node("Expand", "l s")],
        {"i": -1},
        "the Expand': it repeats a value of the last frame in earlier frames",
    ),
    (
        [node("Shape", "x", "s"), node("Expand", "c s")],
        {"c": np.ones((4, 1, 6))},
        r"the Expand': it expands a constant \(4, 1, 6\) to \['time', 'batch', 6\], wanted a vector of features",
    ),
]


@pytest.mark.parametrize(("nodes", "constants", "message"), EXPANDS)
def test_an_expand_that_the_engine_lacks_is_refused(nodes: list[Node], constants: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lower(graph(nodes, **constants))
