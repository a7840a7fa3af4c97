"""Weights, biases and constants that the engine does not have are refused by name."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx import helper
from tidegate.runtime.contract import METADATA_KEY, Contract, Port
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.lowering import trace
from tidegate.runtime.lowering.lower import lower
from tools.drafts import FEATURES, HIDDEN, Build, Draft, of_frame, of_weight, part, refuses
from tools.graphs import model_of

CODES = np.ones((HIDDEN, 3), np.int8)
SCALES = np.full(3, 0.01, np.float32)
BLOCKS = np.full((HIDDEN, 3), 0.01, np.float32)


def of_constant(op: str, values: object, left: bool = False) -> Build:
    """An elementwise operation with a constant."""

    def build(d: Draft, y: str) -> str:
        pair = [y, d.tensor(values)]
        return d.add(op, *(pair[::-1] if left else pair))

    return of_frame(build)


def of_float(value: float, dtype: Any = np.float32) -> Build:  # noqa: ANN401
    """An LSTM with this weight among ones."""

    def build(d: Draft) -> None:
        values = np.ones((1, 4 * HIDDEN, FEATURES), dtype)
        values[0, 5, 2] = value
        d.answer(d.squeeze(d.lstm("x", W=d.tensor(values, dtype)), 1))

    return build


def test_weights_that_many_nodes_share_cannot_take_far_more_memory_than_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each node has its copy in a plan: one matrix of 4 MB in a thousand nodes would be 4 GB."""
    nodes = [helper.make_node("MatMul", [f"v{i}" if i else "x", "w"], [f"v{i + 1}"]) for i in range(12)]
    made = model_of(nodes, {"x": ("batch", "time", 256)}, ["v12"], {"w": np.eye(256, dtype=np.float32)}, opset=17)
    graph = Graph(made)
    graph.set_metadata(METADATA_KEY, Contract((Port("x", 1, 0),), (Port("v12", 1, 0),), ()).to_json())
    assert len(lower(graph).ops) == 12
    monkeypatch.setattr(trace, "MOST_SHARED", 0)
    message = (
        "^MatMul 'v9': nodes share weights, of which a plan has a copy for each: together far more than the file has"
    )
    with pytest.raises(UnsupportedError, match=f"{message}; use backend='onnxruntime'"):
        lower(graph)
    frames = np.ones((1, 256), np.float32)
    np.testing.assert_array_equal(load(made.SerializeToString(), "onnxruntime").stream().push(frames), frames)


def signal_as_weight(d: Draft) -> None:
    d.answer(d.add("MatMul", d.layer("x"), "x"))


def bias_computed(d: Draft) -> None:
    y = d.gather(d.layer("x"), -1)
    d.answer(d.add("Gemm", y, d.weights(HIDDEN, HIDDEN, axis=1), y), None, 0)


def gemm_bias_of_shape(*shape: int) -> Build:
    return of_frame(lambda d, y: d.add("Gemm", y, d.weights(HIDDEN, 3, axis=1), d.tensor(d.random(*shape))))


def constant_beside_another_axis(d: Draft) -> None:
    d.answer(d.add("Mul", d.add("Transpose", "x", perm=[0, 2, 1]), d.tensor(d.random(FEATURES))))


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    **{
        f"float weight {value}": (of_float(value), UnsupportedError, "holds a value that is not finite or above 2^40")
        for value in (np.nan, -np.inf, 1.2e12)
    },
    "weights of integers": (of_float(3, np.int64), UnsupportedError, "is neither constant floats nor codes with"),
    "signal as weight": (
        part(signal_as_weight),
        UnsupportedError,
        "its weight 'x' is neither constant floats nor codes",
    ),
    "wrong axis": (of_weight(CODES, np.ones(HIDDEN, np.float32), axis=0), UnsupportedError, "axis 0, wanted 1"),
    "blocks of 4": (of_weight(CODES, BLOCKS[:2], axis=0, block_size=4), UnsupportedError, "blocks of 4, wanted 8, 32"),
    "blocks of rows": (
        of_weight(CODES, BLOCKS[:, :1], block_size=8),
        UnsupportedError,
        "blocks along axis 1, wanted 0",
    ),
    **{
        f"code {-(2 ** (bits - 1))}": (
            of_weight(np.full_like(CODES, -(2 ** (bits - 1)), dtype), SCALES),
            UnsupportedError,
            f"a weight code is {-(2 ** (bits - 1))}, wanted {1 - 2 ** (bits - 1)} to {2 ** (bits - 1) - 1}",
        )
        for bits, dtype in {4: ml_dtypes.int4, 8: np.int8, 16: np.int16}.items()
    },
    "scale of a group": (
        of_weight(CODES, np.full((2, 3), 2.0**-25, np.float32), axis=0, block_size=4),
        UnsupportedError,
        "a weight scale lies outside [2^-24, 2^40]",
    ),
    **{
        f"scale {scale}": (
            of_weight(CODES, np.array([0.01, scale, 0.01], np.float32)),
            UnsupportedError,
            "a weight scale lies outside [2^-40, 2^40]",
        )
        for scale in (0.0, -0.01, 1e-13, 2e12, np.nan, np.inf)
    },
    "computed bias": (bias_computed, UnsupportedError, "Gemm 'gemm': its bias 'v"),
    "Gemm bias of five values": (gemm_bias_of_shape(5), UnsupportedError, "has shape (5,), wanted 3 values"),
    "Gemm bias a row": (gemm_bias_of_shape(3, 1), UnsupportedError, "has shape (3, 1), wanted 3 values"),
    **{
        f"constant {value}": (of_constant("Add", value), UnsupportedError, "is not finite or above 2^60")
        for value in (np.nan, -np.inf, 1.2e18)
    },
    "constant of two values": (of_constant("Add", [1.0, 2.0]), UnsupportedError, "must have one value or 8, along the"),
    "constant a row": (of_constant("Add", np.ones((HIDDEN, 1))), UnsupportedError, "must have one value or 8"),
    "constant matrix": (of_constant("Mul", np.ones((2, HIDDEN))), UnsupportedError, "must have one value or 8"),
    "constant axis": (constant_beside_another_axis, UnsupportedError, "must have one value or 4, along the features"),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


def test_float_weights_are_floats_and_tiny_ones_become_zero() -> None:
    """Weights below 2^-40 would make subnormal products."""
    d = Draft()
    values = np.resize(np.array([1e-13, -1e-13, 1e-40, 2.0**-40, -0.5], np.float32), (HIDDEN, 3))
    d.answer(d.add("MatMul", d.layer("x"), d.tensor(values)))
    (matrix,) = d.program().ops[-1].record().matrices
    assert (matrix.weight_bits, matrix.group) == (32, 0)
    np.testing.assert_array_equal(matrix.codes, np.where(np.abs(values) < 2.0**-40, 0, values).T, strict=True)
    assert np.all(matrix.scales == 1)
