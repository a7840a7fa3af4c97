"""Loops that nothing stops are refused by name; loops that end are left alone."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tidegate.export import lift
from tidegate.export.foreign.endless_loops import MOST_ROUNDS, refuse_endless_loops
from tidegate.runtime.errors import UnsupportedError
from tools.foreign_files import ForeignFile


def _body(condition: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info
    made = {
        "given": [helper.make_node("Identity", ["go"], ["on"])],
        "true": [helper.make_node("Constant", [], ["on"], value=numpy_helper.from_array(np.array(True)))],
        "computed": [helper.make_node("Less", ["v", "most"], ["on"])],
    }[condition]
    nodes = [*made, helper.make_node("Add", ["v", "most"], ["w"])]
    most = numpy_helper.from_array(np.array(3, np.float32), "most")
    inputs = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, [])]
    outputs = [value("on", TensorProto.BOOL, []), value("w", TensorProto.FLOAT, [])]
    return helper.make_graph(nodes, "body", inputs, outputs, [most])


def looping(rounds: int | None, condition: str) -> onnx.ModelProto:
    """Return an LSTM whose answers are moved by the result of a Loop."""
    file = ForeignFile(17)
    y, *_ = file.cell("LSTM", file.input("x", ["time", 1, 5]), 5, 6)
    count = "" if rounds is None else file.constant(np.int64(rounds))
    start = [file.constant(np.bool_(True)), file.constant(np.float32(1))]
    value = file.add("Loop", [count, *start], "result", body=_body(condition), name="wait")
    file.output(file.head(file.add("Add", [file.squeezed(y, 1), value]), 6, 3, "y"), ["time", 1, 3])
    return file.model()


@pytest.mark.parametrize("condition", ["given", "true"])
@pytest.mark.parametrize("rounds", [2**62, MOST_ROUNDS + 1, None])
def test_a_loop_that_nothing_stops_is_refused(tmp_path: Path, rounds: int | None, condition: str) -> None:
    onnx.save(looping(rounds, condition), tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"Loop 'wait': nothing stops it within .*; export the model without it"):
        lift(tmp_path / "m.onnx", tmp_path / "out.onnx")


@pytest.mark.parametrize(("rounds", "condition"), [(3, "given"), (MOST_ROUNDS, "true"), (2**62, "computed")])
def test_a_loop_that_ends_is_left_alone(rounds: int, condition: str) -> None:
    refuse_endless_loops(looping(rounds, condition))


def test_an_endless_loop_inside_a_branch_is_found() -> None:
    model = looping(2**62, "given")
    loop = next(node for node in model.graph.node if node.op_type == "Loop")
    branch = helper.make_graph([loop], "branch", [], [onnx.ValueInfoProto(name="result")])
    model.graph.node.remove(loop)
    branch.initializer.extend(model.graph.initializer)
    model.graph.node.append(helper.make_node("If", ["go"], ["result"], then_branch=branch, else_branch=branch))
    with pytest.raises(UnsupportedError, match="nothing stops it"):
        refuse_endless_loops(model)
