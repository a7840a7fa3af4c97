"""Files as their users load them: on each backend that takes them."""

from collections.abc import Callable

import onnx
import pytest
from tidegate.export.proof.loaded import load_everywhere
from tidegate.export.states.recurrent_states import lift_states
from tidegate.runtime.contract import METADATA_KEY, Contract, Port
from tidegate.runtime.errors import ExportError
from tidegate.runtime.graph.graph import Graph

MakeGraph = Callable[..., onnx.ModelProto]


def streaming(model: onnx.ModelProto) -> onnx.ModelProto:
    contract = Contract((Port("x", 0, 1),), (Port("y", 0, 1),), lift_states(model))
    Graph(model).set_metadata(METADATA_KEY, contract.to_json())
    return model


def test_both_backends_run_a_file(make_graph: MakeGraph) -> None:
    found = load_everywhere(streaming(make_graph()).SerializeToString(), "m.onnx")
    assert list(found.models) == ["native", "onnxruntime"]
    assert found.refused == {}
    assert found.preferred is found.models["onnxruntime"]


def test_the_reason_of_a_backend_that_refuses_is_kept(make_graph: MakeGraph) -> None:
    model = streaming(make_graph())
    next(node for node in model.graph.node if node.output[0] == "y").output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Cos", ["before"], ["y"]))
    found = load_everywhere(model.SerializeToString(), "m.onnx")
    assert list(found.models) == ["onnxruntime"]
    assert "m.onnx: Cos" in found.refused["native"]


def test_a_file_that_only_the_engine_runs_is_streamed_there(make_graph: MakeGraph) -> None:
    found = load_everywhere(streaming(make_graph()).SerializeToString(), "m.onnx")
    del found.models["onnxruntime"]
    assert found.preferred is found.models["native"]


def test_a_file_that_runs_nowhere_is_refused(make_graph: MakeGraph) -> None:
    with pytest.raises(ExportError, match=r"m.onnx: no backend runs it: .*contract.*; .*contract"):
        load_everywhere(make_graph().SerializeToString(), "m.onnx")


def test_a_file_of_floats_is_not_quantized(make_graph: MakeGraph) -> None:
    assert not load_everywhere(streaming(make_graph()).SerializeToString(), "m.onnx").quantized
