"""The options of recurrent nodes, read from their attributes and written back."""

from typing import Any

import numpy as np
import pytest
from onnx import helper
from tidegate.runtime.cells import GRU, LSTM, RNN, Activation, CellOptions
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.cell_options import cell_options, option_attributes
from tools.random_layers import cell_options as random_options


def read(op: str, place: int = 0, **given: Any) -> CellOptions:  # noqa: ANN401  attributes
    return cell_options(helper.make_node(op, ["x", "w", "r"], ["y"], name="n", **given), place)


def test_a_node_without_attributes_has_the_defaults_of_onnx() -> None:
    assert read("LSTM") == LSTM.plain
    assert read("RNN") == RNN.plain
    assert read("GRU") == CellOptions(GRU.plain.activations, reset_first=True)
    assert read("GRU", linear_before_reset=1) == GRU.plain


def test_numbers_go_to_the_functions_that_take_them_in_order() -> None:
    names = ["LeakyRelu", "tanh", "HARDSIGMOID"]
    seen = read("LSTM", activations=names, activation_alpha=[0.5, 0.25], activation_beta=[2.0])
    assert seen.activations == (Activation("LeakyRelu", 0.5), Activation("Tanh"), Activation("HardSigmoid", 0.25, 2.0))


def test_numbers_that_a_node_leaves_out_are_those_of_the_operators() -> None:
    seen = read("LSTM", activations=["LeakyRelu", "Elu", "HardSigmoid"]).activations
    assert [(one.alpha, one.beta) for one in seen] == [
        (float(np.float32(0.01)), 0.0),
        (1.0, 0.0),
        (float(np.float32(0.2)), 0.5),
    ]


@pytest.mark.parametrize("kind", [LSTM, GRU, RNN], ids=lambda kind: kind.name)
def test_options_that_are_written_are_read_again(kind: Any) -> None:  # noqa: ANN401  a kind of cell
    rng = np.random.default_rng(0)
    for _ in range(50):
        options = random_options(rng, kind)
        assert read(kind.operator, **option_attributes(kind, options)) == options


def test_each_direction_of_a_bidirectional_node_has_its_own() -> None:
    given = {"direction": "bidirectional", "activations": ["Elu", "LeakyRelu"], "activation_alpha": [0.5, 0.25]}
    assert [read("RNN", place, **given).activations[0] for place in (0, 1)] == [
        Activation("Elu", 0.5),
        Activation("LeakyRelu", 0.25),
    ]
    assert read("RNN", 1, direction="bidirectional") == RNN.plain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"activations": ["Sigmoid", "Tanh"]}, "it has 2 activations, wanted 3"),
        (
            {"activations": ["Sigmoid", "Tanh", "Gelu"]},
            "activation Gelu is unknown, wanted one of Sigmoid, HardSigmoid",
        ),
        ({"activations": ["Sigmoid", "Affine", "Tanh"]}, "activation Affine has no activation_alpha, wanted a number"),
        (
            {"activations": ["Sigmoid", "Affine", "Tanh"], "activation_alpha": [1.0]},
            "activation Affine has no activation_beta, wanted a number",
        ),
        ({"clip": -1.0}, r"clip is -1\.0, wanted a number above 0"),
        ({"clip": np.inf}, r"clip is inf, wanted a finite number up to 2\^60"),
    ],
)
def test_options_that_are_no_cell_are_refused_by_node(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=f"LSTM 'n': {message}"):
        read("LSTM", **given)
