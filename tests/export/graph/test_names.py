"""Names of modules and weights."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper
from tidegate.export import export_model
from tidegate.export.graph.editing import value_names
from tidegate.export.graph.names import module_path, name_weights
from tidegate.quant import quantize
from tidegate.runtime.errors import QuantizationError
from torch import Tensor, nn

MakeGraph = Callable[..., onnx.ModelProto]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/encoder/lstm/LSTM_1", "encoder.lstm"),
        ("/LSTM", ""),
        ("LSTM", ""),
        ("", ""),
        ("/layers.0/LSTM", "layers.0"),
        ("/enc/enc.1/lstm/LSTM", "enc.1.lstm"),
        ("/enc/enc.2/enc.2.0/LSTM", "enc.2.0"),
    ],
)
def test_module_path(name: str, path: str) -> None:
    assert module_path(helper.make_node("LSTM", ["x"], ["y"], name=name)) == path


def _weights(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}


def test_numbered_weights_get_the_names_of_pytorch(make_graph: MakeGraph) -> None:
    model = make_graph(("/enc/lstm/LSTM", "/enc/lstm/LSTM_1", "/gru/LSTM"))
    name_weights(model)
    layers = [f"enc.lstm.{weight}_l{layer}" for layer in (0, 1) for weight in ("weight_ih", "weight_hh", "bias")]
    assert {*layers, "gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_l0"} <= _weights(model)
    onnx.checker.check_model(model)


def test_weights_of_a_module_at_the_root_have_no_prefix(make_graph: MakeGraph) -> None:
    model = make_graph(("/LSTM",))
    name_weights(model)
    assert {"weight_ih_l0", "weight_hh_l0", "bias_l0"} <= _weights(model)


def test_a_known_module_path_completes_the_name(make_graph: MakeGraph) -> None:
    model = make_graph(("/lstm/LSTM",))
    name_weights(model, ["model.lstm"])
    assert "model.lstm.weight_hh_l0" in _weights(model)


def test_what_has_no_name_in_pytorch_is_named_after_node_and_operand(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.node.append(helper.make_node("MatMul", ["y", "onnx::M"], ["z"], "/MatMul_3"))
    model.graph.initializer.append(helper.make_tensor("onnx::M", 1, [4, 1], [1.0] * 4))
    name_weights(model)
    assert "MatMul_3.B" in _weights(model)


def test_a_name_that_is_taken_gets_a_number(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.node.append(helper.make_node("Identity", ["y"], ["lstm.weight_ih_l0"]))
    name_weights(model)
    assert "lstm.weight_ih_l0_1" in _weights(model)


def test_a_weight_with_two_readers_keeps_its_number(make_graph: MakeGraph) -> None:
    model = make_graph(("/a/LSTM", "/b/LSTM"))
    layers = [node for node in model.graph.node if node.op_type == "LSTM"]
    layers[1].input[2] = layers[0].input[2]
    name_weights(model)
    assert layers[0].input[2] == layers[1].input[2] == "onnx::R0"


def test_operators_of_other_domains_keep_their_names(make_graph: MakeGraph) -> None:
    model = make_graph()
    model.graph.node[-1].domain = "com.example"
    name_weights(model)
    assert "lstm.weight_ih_l0" in value_names(model)


class Net(nn.Module):
    """Weights of all kinds that get only a number from torch: computed, transposed, normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(6, 5, 3), nn.BatchNorm1d(5)
        self.lstm = nn.LSTM(5, 8, 2, batch_first=True)
        self.body = nn.Sequential(nn.GRU(8, 7, batch_first=True, bias=False))
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(nn.functional.pad(x.transpose(1, 2), (2, 0)))).transpose(1, 2)
        answer: Tensor = self.head(self.body[0](self.lstm(x)[0])[0])
        return answer


NAMES = [
    *("conv.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.weight_ih_l1", "lstm.weight_hh_l1"),
    *("body.0.weight_ih_l0", "body.0.weight_hh_l0", "head.weight"),
]


def test_precisions_are_chosen_by_the_names_of_the_state_dict(tmp_path: Path) -> None:
    export_model(Net(), torch.randn(1, 20, 6), tmp_path / "m.onnx")
    wanted = {"*": "W8A8", "lstm.weight_hh_l1": "W16A16", "body.*": "W4A16", "head.weight": "float32"}
    rows = quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", precision=wanted).weights
    assert {row.name for row in rows} == set(NAMES) <= set(Net().state_dict())
    found = {row.name: row.precision for row in rows}
    assert found["lstm.weight_hh_l1"] == "W16A16"
    assert found["body.0.weight_ih_l0"] == "W4A16"
    assert (found["head.weight"], found["conv.weight"]) == ("float32", "W8A8")
    with pytest.raises(QuantizationError, match=r"no weight matches 'lstm\.LSTM\.W'; there are .*lstm\.weight_ih_l0"):
        quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", precision={"lstm.LSTM.W": "W8A8"})
