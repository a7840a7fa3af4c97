"""Einsum with a weight becomes MatMuls; other Einsums stay."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tidegate.export import export_model
from tidegate.export.rewrites.grouped_products import write_products
from tidegate.runtime.backends.native import NativeModel
from tools.foreign_files import ForeignFile
from tools.lifting import assert_streams_as, lifted, original

onnxruntime = pytest.importorskip("onnxruntime")


def _model(equation: str, value: Sequence[int], weight: Sequence[int]) -> ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(value))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    w = np.random.default_rng(0).standard_normal(weight).astype(np.float32)
    node = helper.make_node("Einsum", ["x", "w"], ["y"], "sum", equation=equation)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(w, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def _answer(model: ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]  # type: ignore[no-any-return]  # onnxruntime has no types


@pytest.mark.parametrize(
    ("equation", "value", "weight", "products"),
    [
        ("btgi,gih->btgh", (2, 3, 4, 5), (4, 5, 6), 4),
        ("btgi, ghi -> btgh", (2, 3, 4, 5), (4, 6, 5), 4),
        ("tgi,igh->tgh", (3, 4, 5), (5, 4, 6), 4),
        ("bti,ih->bth", (2, 3, 5), (5, 6), 1),
        ("bti,hi->bth", (2, 3, 5), (6, 5), 1),
    ],
)
def test_a_product_of_features_becomes_matmuls(
    equation: str, value: Sequence[int], weight: Sequence[int], products: int
) -> None:
    model, x = _model(equation, value, weight), np.random.default_rng(1).standard_normal(value).astype(np.float32)
    wanted = _answer(model, x)
    write_products(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("MatMul") == products
    assert "Einsum" not in kinds
    np.testing.assert_allclose(_answer(model, x), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "value", "weight"),
    [
        ("bti,tih->bth", (2, 3, 5), (3, 5, 6)),  # another weight for each frame
        ("bti,ih->bht", (2, 3, 5), (5, 6)),
        ("bgi,gi->bg", (2, 4, 5), (4, 5)),
        ("bit,ih->bth", (2, 5, 3), (5, 6)),
    ],
)
def test_other_sums_stay_or_stay_equal(equation: str, value: Sequence[int], weight: Sequence[int]) -> None:
    model, x = _model(equation, value, weight), np.random.default_rng(1).standard_normal(value).astype(np.float32)
    wanted = _answer(model, x)
    write_products(model)
    np.testing.assert_allclose(_answer(model, x), wanted, rtol=0, atol=1e-5)


class _Grouped(torch.nn.Module):
    """A GRU between grouped layers, with a skip, as DeepFilterNet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Parameter(torch.randn(4, 3, 4))
        self.gru = torch.nn.GRU(16, 16, batch_first=True)
        self.last = torch.nn.Parameter(torch.randn(2, 8, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, frames, _ = x.shape
        y = torch.relu(torch.einsum("btgi,gih->btgh", x.view(batch, frames, 4, 3), self.first).flatten(2))
        y = self.gru(y)[0] + y
        return torch.einsum("btgi,gih->btgh", y.view(batch, frames, 2, 8), self.last).flatten(2)


def test_row_144_a_grouped_net_streams_on_the_engine(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = _Grouped().eval()
    x = torch.randn(1, 20, 12)
    export_model(module, x, tmp_path / "out.onnx")
    assert_streams_as(tmp_path, x[0].numpy(), module(x)[0].detach().numpy())
    report = tidegate.quantize(tmp_path / "out.onnx", tmp_path / "int8.onnx")
    assert len(report.weights) == 8  # four and two of the groups, W and R
    assert isinstance(tidegate.load(tmp_path / "int8.onnx"), NativeModel)


def _sum_of_layers() -> ForeignFile:
    """GRUs of two groups whose answers are added to zeros as long as the signal, as DeepFilterNet's first version."""
    file = ForeignFile(13)
    x = file.input("x", [1, "T", 8])
    sizes = file.add("Shape", [x])
    frames = file.add("Gather", [sizes, file.axes(1)])
    zeros = file.add("ConstantOfShape", [file.add("Concat", [file.axes(1), frames, file.axes(12)], axis=0)])
    parts = []
    for group in range(2):
        part = file.add("Slice", [x, file.axes(4 * group), file.axes(4 * group + 4), file.axes(2)])
        y, _ = file.cell("GRU", file.add("Transpose", [part], perm=[1, 0, 2]), 4, 6, linear_before_reset=1)
        parts.append(file.add("Transpose", [file.squeezed(y, 1)], perm=[1, 0, 2]))
    y = file.add("Add", [zeros, file.add("Concat", parts, axis=2)])
    file.output(file.head(y, 12, 3, "y"), [1, "T", 3])
    return file


def test_zeros_as_long_as_the_signal_are_an_expand(tmp_path: Path) -> None:
    lifted(tmp_path, _sum_of_layers().model())
    x = np.random.default_rng(1).standard_normal((1, 20, 8)).astype(np.float32)
    assert_streams_as(tmp_path, x[0], original(tmp_path, x)[0])
