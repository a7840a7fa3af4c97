"""Lowering refuses other operators by name, and follows the metadata of quantization."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.program import Reading
from tools.drafts import HIDDEN, Build, Draft, of_frame, part, refuses
from tools.onnx_files import write_lstm


def matmul() -> Draft:
    """Return an LSTM with a MatMul."""
    d = Draft()
    d.answer(d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1)))
    return d


@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_states_the_activation_bits(bits: int) -> None:
    d = matmul()
    names = [node.output[0] for node in d.nodes if node.op_type == "DequantizeLinear"]
    d.quantization = json.dumps({"version": 2, "activation_bits": dict.fromkeys(names[1:], bits)})
    seen = [matrix.bits for op in d.program().ops for matrix in op.record().matrices]
    assert seen == [16, *[bits] * (len(names) - 1)]  # 16 if the metadata gives no bits


def test_metadata_states_the_ranges_of_activations() -> None:
    d = matmul()
    names = [node.output[0] for node in d.nodes if node.op_type == "DequantizeLinear"]
    range_of_last = {names[-1]: float(np.float32(0.3))}
    d.quantization = json.dumps(
        {"version": 2, "activation_bits": dict.fromkeys(names, 8), "activation_ranges": range_of_last}
    )
    seen = {matrix.name: matrix for op in d.program().ops for matrix in op.record().matrices}
    assert [seen[name].reading for name in names] == [Reading.FRAME, Reading.HIDDEN, Reading.CONSTANT]
    assert [seen[name].range for name in names] == [1, 1, np.float32(0.3)]


# ---- forms that are refused ----


def foreign(d: Draft) -> None:
    d.answer(d.add("Add", d.layer("x"), d.tensor(1.0), domain="com.example"))


def weight_of_three_axes(d: Draft) -> None:
    d.answer(d.add("MatMul", d.layer("x"), d.weights(1, HIDDEN, 3, axis=1)))


def gemm_with(**attributes: Any) -> Build:  # noqa: ANN401
    return of_frame(lambda d, y: d.add("Gemm", y, d.weights(HIDDEN, HIDDEN, axis=1), **attributes))


def features_not_last(d: Draft) -> None:
    d.answer(d.add("MatMul", d.add("Transpose", "x", perm=[0, 2, 1]), d.weights(3, 3, axis=1)))


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "operator": (
        of_frame(lambda d, y: d.add("Sin", y)),
        UnsupportedError,
        "Sin 'sin': the engine does not have this operator",
    ),
    "domain": (foreign, UnsupportedError, "Add 'add': the engine does not have this operator"),
    "three axes": (weight_of_three_axes, UnsupportedError, "its weight has shape (1, 8, 3), wanted two axes"),
    **{
        f"Gemm {key}": (gemm_with(**{key: value}), UnsupportedError, "alpha, beta and transA must be 1, 1 and 0")
        for key, value in {"alpha": 0.5, "beta": 2.0}.items()
    },
    "Gemm transA": (part(gemm_with(transA=1)), UnsupportedError, "alpha, beta and transA must be 1, 1 and 0"),
    "features not last": (
        part(features_not_last),
        UnsupportedError,
        "axes (time, feature, batch), wanted features last",
    ),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 1, "activation_bits": 16}', "version is 1, this tidegate reads 2; quantize the float file again"),
        ('{"version": 3}', "version is 3, this tidegate reads 2"),
        ('{"version": 2}', "activation_bits must give 8 or 16 by weight"),
        ('{"version": 2, "activation_bits": 16}', "activation_bits must give 8 or 16 by weight"),
        ('{"version": 2, "activation_bits": {"W": 4}}', "activation_bits must give 8 or 16 by weight"),
        ('{"version": 2, "activation_bits": {"absent": 8}}', "the graph has no weight 'absent'"),
        *[
            (
                f'{{"version": 2, "activation_bits": {{"W": 8}}, "activation_ranges": {ranges}}}',
                "activation_ranges must",
            )
            for ranges in ("7", '{"W": 0.0}', '{"W": NaN}', '{"W": true}', '{"W": 1e13}', '{"V": 1.0}')
        ],
    ],
)
def test_quantization_that_says_something_else_is_refused(text: str, message: str) -> None:
    d = matmul()
    d.quantization = text
    with pytest.raises(ModelError, match=rf"metadata tidegate\.quantization: {message}"):
        d.program()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"text"', "{}", "[" * 100_000])
def test_quantization_that_is_not_readable_is_refused(text: str) -> None:
    d = matmul()
    d.quantization = text
    with pytest.raises(ModelError, match=r"metadata tidegate\.quantization is not readable; quantize the file again"):
        d.program()


@pytest.mark.parametrize("axis", [float("inf"), float("nan"), 1e30, 2.0**62])
def test_constant_that_is_no_integer_is_not_valid(axis: float, tmp_path: Path) -> None:
    model = onnx.load(write_lstm(tmp_path / "m.onnx"))
    tensor = next(one for one in model.graph.initializer if one.name == "one")
    tensor.CopyFrom(numpy_helper.from_array(np.array([axis]), "one"))
    with pytest.raises(ModelError, match=r"the graph is not valid ONNX \(|axes"):
        lower(Graph(model))
