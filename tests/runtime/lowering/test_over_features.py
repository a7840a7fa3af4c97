"""Reductions, softmax and normalizations: along the features only, and what they become."""

from typing import Any

import numpy as np
import pytest
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.operators import Binary, Elementwise, LayerNorm, Reduce, Softmax
from tools.drafts import HIDDEN, Draft, refuses


def kinds(op: str, opset: int = 18, inputs: int = 0, **attributes: Any) -> list[type]:  # noqa: ANN401
    """Return the operations that one node on an LSTM's answer becomes, with constants of ones as further inputs."""
    d = Draft(opset=opset)
    d.answer(d.add(op, d.layer("x"), *(d.tensor(np.ones(HIDDEN)) for _ in range(inputs)), **attributes))
    return [type(one) for one in d.program().ops[1:]]


def test_each_operator_becomes_its_own() -> None:
    assert kinds("Softmax") == [Softmax]
    assert kinds("LogSoftmax", axis=2) == [Softmax]
    assert kinds("LayerNormalization", inputs=2) == [LayerNorm]
    assert kinds("ReduceL2", opset=17, axes=[-1]) == [Reduce]
    assert kinds("LpNormalization") == [Reduce, Elementwise, Binary]


def test_batch_normalization_is_a_factor_and_an_offset() -> None:
    d = Draft()
    y = d.add("Transpose", d.layer("x"), perm=[0, 2, 1])
    scale, bias, mean, variance = (np.full(HIDDEN, value, np.float32) for value in (3.0, 1.0, 2.0, 4.0))
    made = d.add("BatchNormalization", y, *map(d.tensor, (scale, bias, mean, variance)), epsilon=0.0)
    d.answer(d.add("Transpose", made, perm=[0, 2, 1]))
    factor, offset = d.program().ops[1:]
    assert isinstance(factor, Elementwise)
    assert isinstance(offset, Elementwise)
    assert (factor.function, factor.constant.tolist()) == ("mul", [1.5] * HIDDEN)
    assert (offset.function, offset.constant.tolist()) == ("add", [-2.0] * HIDDEN)


@pytest.mark.parametrize(("op", "attributes"), [("Softmax", {"axis": 0}), ("LayerNormalization", {"axis": 1})])
def test_another_axis_is_refused(op: str, attributes: dict[str, Any]) -> None:
    def build(d: Draft) -> None:
        d.answer(d.add(op, d.layer("x"), d.tensor(np.ones(HIDDEN)) if op != "Softmax" else "", **attributes))

    refuses(build, UnsupportedError, "of (time, batch, feature), wanted only the features")


def test_an_older_softmax_over_several_axes_is_refused_unless_features_are_last() -> None:
    assert kinds("Softmax", opset=12, axis=2) == [Softmax]


def test_a_norm_in_training_mode_is_refused_and_one_in_eval_mode_is_taken() -> None:
    def build(d: Draft, **mode: Any) -> None:  # noqa: ANN401  attributes
        y = d.add("Transpose", d.layer("x"), perm=[0, 2, 1])
        made = d.add("BatchNormalization", y, *(d.tensor(np.ones(HIDDEN)) for _ in range(4)), **mode)
        d.answer(d.add("Transpose", made, perm=[0, 2, 1]))

    message = "it is in training mode; export the model in eval mode"
    refuses(lambda d: build(d, training_mode=1), UnsupportedError, message)
    d = Draft()
    build(d)
    assert d.program().ops


def test_another_norm_is_refused() -> None:
    refuses(lambda d: d.answer(d.add("LpNormalization", d.layer("x"), p=1)), UnsupportedError, "p is 1, wanted 2")
