"""The facts of a model file."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import tidegate
from onnx import TensorProto, helper, numpy_helper
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.errors import BackendError, ModelError, PlanError
from tidegate.runtime.inspection import inspect_file
from tidegate.runtime.plan.magic import is_plan
from tools.onnx_files import write_lstm

SMALL = stacks.Case("small", 3, 5, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A float file, an int8 file and a plan of one stack."""
    stacks.save_model(stacks.random_layers(SMALL), tmp_path / "m.onnx", sample_rate=50)
    tidegate.quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    tidegate.compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    return tmp_path


def test_an_int8_file_runs_on_the_engine(folder: Path) -> None:
    facts = inspect_file(folder / "m.int8.onnx")

    assert facts.kind == "onnx"
    assert facts.bytes == (folder / "m.int8.onnx").stat().st_size
    assert facts.features == 3
    assert facts.backend is not None
    assert facts.backend.startswith("native (")
    assert facts.refusal == ""


def test_each_recurrent_layer_has_its_sizes_and_costs(folder: Path) -> None:
    first, second = inspect_file(folder / "m.int8.onnx").layers

    assert (first.name, first.cell, first.direction) == ("lstm0", "LSTM", "forward")
    assert (first.features, first.hidden, second.features) == (3, 5, 5)
    assert (first.weight_bits, first.groups, first.activation_bits) == ((8, 8), (0, 0), (16, 16))
    assert (first.multiply_adds, second.multiply_adds) == (20 * 8, 20 * 10)
    assert first.bytes == 20 * 8 + 2 * 20 * 4 + 2 * 20 * 4  # codes, scales of W and R, both halves of the bias


def test_a_plan_has_the_same_layers(folder: Path) -> None:
    facts, plan = inspect_file(folder / "m.int8.onnx"), inspect_file(folder / "m.tide")

    assert (plan.kind, plan.features, plan.backend) == ("plan", 3, facts.backend)
    assert plan.contract == facts.contract
    assert [layer.name for layer in plan.layers] == ["lstm0.h_in[0]", "lstm1.h_in[0]"]
    costs = [(layer.features, layer.hidden, layer.activation_bits, layer.multiply_adds) for layer in facts.layers]
    assert [(x.features, x.hidden, x.activation_bits, x.multiply_adds) for x in plan.layers] == costs


def test_a_float_file_runs_on_the_engine(folder: Path) -> None:
    tidegate.compile_model(folder / "m.onnx", folder / "float.tide")
    facts, plan = inspect_file(folder / "m.onnx"), inspect_file(folder / "float.tide")

    assert (facts.backend, facts.features, facts.refusal) == (plan.backend, 3, "")
    for layers in (facts.layers, plan.layers):
        assert [layer.weight_bits for layer in layers] == [(32, 32)] * 2
        assert [layer.activation_bits for layer in layers] == [(32, 32)] * 2
    assert plan.layers[0].bytes == 4 * (20 * 8 + 20)  # weights and the bias


def test_each_precision_is_told_by_its_bits_groups_and_bytes(tmp_path: Path) -> None:
    """33 codes of 4 bits per channel: 17 bytes in a plan, 16 and a half in ONNX; five groups of 8, the last of one."""
    stacks.save_model(stacks.random_layers(stacks.Case("wide", 33, 5, 1)), tmp_path / "m.onnx")
    tidegate.quantize(tmp_path / "m.onnx", tmp_path / "q.onnx", precision={"w0": "W4A8g8", "r0": "W16A16g8"})
    tidegate.compile_model(tmp_path / "q.onnx", tmp_path / "q.tide")
    (layer,), (planned,) = (inspect_file(tmp_path / name).layers for name in ("q.onnx", "q.tide"))

    for facts in (layer, planned):
        assert (facts.weight_bits, facts.groups, facts.activation_bits) == ((4, 16), (8, 0), (8, 16))
    scales = 4 * (20 * 5 + 20)
    assert layer.bytes == 20 * 33 // 2 + 2 * 20 * 5 + scales + 2 * 4 * 20
    assert planned.bytes == 20 * 17 + 2 * 20 * 5 + scales + 4 * 20


def test_an_operator_that_the_engine_lacks_is_named(folder: Path) -> None:
    model = onnx.load(folder / "m.int8.onnx")
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Sin", ["before"], ["y"], name="odd"))
    onnx.save(model, folder / "odd.onnx")

    facts = inspect_file(folder / "odd.onnx")

    assert facts.backend == "onnxruntime"
    assert [(layer.weight_bits, layer.activation_bits) for layer in facts.layers] == [((8, 8), None)] * 2
    assert "Sin 'odd'" in facts.refusal or "Sin odd" in facts.refusal


def test_a_file_without_contract_runs_on_nothing(folder: Path) -> None:
    model = onnx.load(folder / "m.int8.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "bare.onnx")

    facts = inspect_file(folder / "bare.onnx")

    assert (facts.backend, facts.contract) == (None, None)
    assert "tidegate.contract" in facts.refusal
    assert len(facts.layers) == 2


@pytest.mark.parametrize(("cell", "gates"), [("GRU", 3), ("RNN", 1)])
def test_other_cells_and_directions_are_counted(cell: str, gates: int, tmp_path: Path) -> None:
    """Weights that are graph inputs have no known size; the node gives the hidden units."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "w", "r")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, gates * 4, 3], [0.0] * (2 * gates * 12))
    node = helper.make_node(cell, ["x", "w", "r"], ["y"], hidden_size=4, direction="bidirectional")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph([node], "g", inputs, [output], [weight])), tmp_path / "m.onnx")

    (layer,) = inspect_file(tmp_path / "m.onnx").layers

    assert (layer.cell, layer.direction, layer.hidden, layer.features) == (cell, "bidirectional", 4, 3)
    assert layer.multiply_adds == 2 * gates * 4 * (3 + 4)
    assert layer.weight_bits is None


def test_facts_become_json(folder: Path) -> None:
    fields = json.loads(json.dumps(inspect_file(folder / "m.tide").to_dict()))

    assert fields["layers"][0]["hidden"] == 5
    assert fields["contract"]["sample_rate"] == 50


def test_a_plan_is_told_by_its_first_bytes(folder: Path) -> None:
    assert is_plan(folder / "m.tide")
    assert not is_plan(folder / "m.onnx")
    assert not is_plan(folder)
    assert not is_plan(folder / "nothing")


def test_a_damaged_plan_is_refused(folder: Path) -> None:
    plan = folder / "m.tide"
    plan.write_bytes(plan.read_bytes()[:-100])

    with pytest.raises(PlanError):
        inspect_file(plan)


def test_no_recurrent_node_is_refused(tmp_path: Path) -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")

    with pytest.raises(ModelError, match=r"no recurrent node .* only Relu"):
        inspect_file(tmp_path / "m.onnx")


def test_a_forced_instruction_set_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ISA", "sse9")

    with pytest.raises(BackendError, match="sse9"):
        inspect_file(folder / "m.tide")


@pytest.mark.parametrize("name", ["W", "R", "B", "V"])
def test_weight_without_an_axis_is_refused_or_shown(tmp_path: Path, name: str) -> None:
    model = onnx.load(write_lstm(tmp_path / "m.onnx"))
    tensor = next(one for one in model.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.array(1, np.float32), name))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    if name in "WR":
        with pytest.raises(ModelError, match=f"{name} has shape \\[\\], wanted "):
            inspect_file(tmp_path / "m.onnx")
    else:
        assert len(inspect_file(tmp_path / "m.onnx").layers) == 1
