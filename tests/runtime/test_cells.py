"""The table of cells against what it describes: ONNX's schemas, PyTorch's layers, the engine's operators."""

from typing import Any

import numpy as np
import onnx
import pytest
from tidegate.runtime.cells import BY_NAME, BY_STEP, CELLS, STANDARD, CellKind
from tidegate.runtime.graph.projected_lstm import projected_lstm, with_weights
from tidegate.runtime.operators import OPERATORS, Cell
from tidegate.runtime.operators.cells_with_options import FLOAT_CELLS

cells = pytest.mark.parametrize("cell", STANDARD.values(), ids=STANDARD)


@cells
def test_positions_are_those_of_the_onnx_standard(cell: CellKind) -> None:
    schema = onnx.defs.get_schema(cell.operator, 18)
    inputs, outputs = ([one.name for one in ends] for ends in (schema.inputs, schema.outputs))
    assert inputs[cell.signal] == "X"
    assert inputs[1 : 1 + cell.weights] == ["W", "R"]
    assert inputs[cell.bias] == "B"
    for state in cell.states:
        assert inputs[state.input] == f"initial_{state.kind}"
        assert outputs[state.output] == f"Y_{state.kind}"
    assert set(cell.attributes) <= set(schema.attributes)


@cells
def test_default_activations_are_those_of_the_onnx_standard(cell: CellKind) -> None:
    """The schema gives the defaults in words only."""
    words = onnx.defs.get_schema(cell.operator, 18).doc or ""
    defaults = words[words.index("Equations") :].split(")")[0]  # e.g. (Default: f=Sigmoid, g=Tanh, h=Tanh
    assert [part.partition("=")[2] for part in defaults.partition("Default:")[2].split(",")] == [*cell.activations[0]]


@cells
def test_a_layer_of_pytorch_in_onnx_order_gives_the_onnx_answer(cell: CellKind) -> None:
    """One step from zeros in onnx's own evaluator, with W and bias of PyTorch's layer in ONNX order."""
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("onnx.reference")
    torch.manual_seed(0)
    layer = getattr(torch.nn, cell.torch)(5, 3)
    assert layer.weight_ih_l0.shape[0] == len(cell.gates) * 3

    def ordered(rows: str) -> np.ndarray:
        parts = np.split(getattr(layer, f"{rows}_l0").detach().numpy(), len(cell.gates))
        return np.concatenate([parts[place] for place in cell.torch_places])[None]

    x = torch.randn(1, 1, 5)
    bias = np.concatenate([ordered("bias_ih"), ordered("bias_hh")], axis=1)
    feeds = {"X": x.numpy(), "W": ordered("weight_ih"), "R": ordered("weight_hh"), "B": bias}
    options: dict[str, Any] = {"hidden_size": 3, **cell.attributes}
    node = onnx.helper.make_node(cell.operator, list(feeds), ["Y", "Y_h"], **options)
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (*feeds, "Y_h")]
    graph = onnx.helper.make_graph([node], "one step", infos[:-1], infos[-1:])
    found = reference.ReferenceEvaluator(onnx.helper.make_model(graph)).run(None, feeds)[0]
    np.testing.assert_allclose(found.ravel(), layer(x)[0].detach().numpy().ravel(), atol=1e-6)


def test_projected_cell_has_the_interface_of_its_scan() -> None:
    cell = BY_NAME["ProjectedLSTM"]
    names = {name: name for name in ("W", "R", "P", "B")}
    scan = projected_lstm("lstm", ["h", "c", "x"], ["last_h", "last_c", "y"], names)
    assert scan.op_type == cell.operator
    assert scan.input[cell.signal] == "x"
    assert [(scan.input[s.input], scan.output[s.output]) for s in cell.states] == [("h", "last_h"), ("c", "last_c")]
    flat = with_weights(scan)
    assert flat is not None
    assert flat.op_type == cell.name
    assert [*flat.input[1 : 2 + cell.weights]] == ["W", "R", "P", "B"]
    assert flat.input[cell.bias] == "B"


@pytest.mark.parametrize("operator", [op for op in OPERATORS if issubclass(op, Cell)], ids=lambda op: op.__name__)
def test_every_cell_of_the_engine_has_a_kind_of_the_table(operator: type[Cell]) -> None:
    assert operator.kind in CELLS.values()


def test_every_kind_of_the_table_runs_in_the_engine_in_both_directions() -> None:
    floats = {op for op in OPERATORS if issubclass(op, Cell) and op.floats}
    assert {op.kind for op in floats} == set(CELLS.values())
    assert floats == set(FLOAT_CELLS)


def test_each_step_has_its_own_activations() -> None:
    for cell in STANDARD.values():
        assert [BY_STEP[step] for step in cell.steps] == [cell] * len(cell.activations)
