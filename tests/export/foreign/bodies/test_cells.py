"""The cells of a step: which carried values belong together, and which signals a cell reads."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from tidegate.export.foreign.bodies.cells import write_cells
from tidegate.runtime.cells import CELLS
from tidegate.runtime.errors import UnsupportedError
from tools import loop_files
from tools.foreign_files import ForeignFile
from tools.graphs import floats, run
from tools.loop_files import FEATURES, UNITS, Body

SHAPES = {"x": (1, FEATURES), **dict.fromkeys(("h", "c", "g"), (1, UNITS)), "p": (1, 2)}
Write = Callable[[Body], dict[str, str]]


def _step(write: Write) -> tuple[onnx.ModelProto, dict[str, str], dict[str, tuple[int, ...]]]:
    """Return a step as a model, its states and their next values, and the shapes of its values."""
    file = ForeignFile(18)
    body = Body(file)
    states = write(body)
    for name in ("x", *states):
        file.input(name, SHAPES[name])
    for state, name in states.items():
        file.output(name, SHAPES[state])
    file.nodes = body.nodes
    model = file.model()
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = {item.name: item.type.tensor_type.shape.dim for item in (*inferred.value_info, *inferred.output)}
    return model, states, SHAPES | {name: tuple(size.dim_value for size in dims) for name, dims in known.items()}


def _written(write: Write) -> tuple[onnx.ModelProto, list[str]]:
    """Write the cells of a step, and compare what it computes before and after."""
    model, states, shapes = _step(write)
    feeds = {name: floats(*SHAPES[name], seed=i) for i, name in enumerate(("x", *states))}
    before = run(model, feeds)
    write_cells(model, states, shapes, ["layer"])
    cells = [node.op_type for node in model.graph.node if node.op_type in CELLS]
    after = run(model, feeds)
    for name, wanted in before.items():
        np.testing.assert_allclose(after[name], wanted, atol=1e-6)
    return model, cells


def _nodes(model: onnx.ModelProto, *operators: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in operators]


def test_states_that_depend_on_each_other_are_one_cell() -> None:
    def write(body: Body) -> dict[str, str]:
        h, c = loop_files.lstm(body, "x", ["h", "c"])
        return {"c": c, "h": h}

    model, cells = _written(write)
    assert cells == ["LSTM"]
    assert [node.name for node in _nodes(model, "LSTM")] == ["/body/LSTM"]


def test_a_cell_that_reads_another_comes_after_it() -> None:
    def write(body: Body) -> dict[str, str]:
        (first,) = loop_files.rnn(body, "x", ["h"])
        narrow = body.add("Relu", [body.add("MatMul", [first, body.weight(UNITS, FEATURES)])])
        (second,) = loop_files.rnn(body, narrow, ["g"])
        return {"g": second, "h": first}

    model, cells = _written(write)
    assert cells == ["RNN", "RNN"]
    assert [node.op_type for node in _nodes(model, "RNN", "Relu")] == ["RNN", "Relu", "RNN"]


def test_the_product_of_the_signal_is_the_cells_own() -> None:
    """It does not depend on the state, but its weights are W."""
    model, _ = _written(lambda body: dict(zip(["h"], loop_files.gru(body, "x", ["h"], after=True), strict=True)))
    [cell] = _nodes(model, "GRU")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == cell.input[1])
    assert list(weights.dims) == [1, 3 * UNITS, FEATURES]
    assert not _nodes(model, "MatMul")


def test_a_layer_ahead_of_the_cell_stays_a_layer() -> None:
    """Of two products only one is W."""

    def write(body: Body) -> dict[str, str]:
        ahead = body.add("MatMul", ["x", body.weight(FEATURES, FEATURES)])
        return dict(zip(["h"], loop_files.rnn(body, ahead, ["h"]), strict=True))

    model, _ = _written(write)
    assert len(_nodes(model, "MatMul")) == 1


def test_a_function_of_the_product_is_not_part_of_the_cell() -> None:
    """The product with the signal goes through Relu before it is added, so W is only a permutation."""

    def write(body: Body) -> dict[str, str]:
        own = body.add("Relu", [body.add("MatMul", ["x", body.weight(FEATURES, UNITS)])])
        inner = body.add("MatMul", ["h", body.weight(UNITS, UNITS)])
        return {"h": body.add("Tanh", [body.add("Add", [own, inner])])}

    model, cells = _written(write)
    assert cells == ["RNN"]
    assert len(_nodes(model, "Relu")) == 1


def test_two_signals_are_joined() -> None:
    def write(body: Body) -> dict[str, str]:
        loud = body.add("Abs", ["x"])
        own = [body.add("MatMul", [name, body.weight(FEATURES, UNITS)]) for name in ("x", loud)]
        inner = body.add("MatMul", ["h", body.weight(UNITS, UNITS)])
        return {"h": body.add("Tanh", [body.add("Add", [body.add("Add", own), inner])])}

    model, _ = _written(write)
    assert len(_nodes(model, "Concat")) == 1


def test_a_recurrent_node_stays() -> None:
    def write(body: Body) -> dict[str, str]:
        start = body.add("Unsqueeze", ["h", body.axes(0)])
        _, final = body.cell("GRU", body.add("Unsqueeze", ["x", body.axes(0)]), FEATURES, UNITS, [start])
        return {"h": body.squeezed(final, 0)}

    model, cells = _written(write)
    assert cells == ["GRU"]
    assert not [node for node in model.graph.node if node.name.startswith("/")]


def test_a_step_that_is_no_cell_is_refused() -> None:
    model, states, shapes = _step(lambda body: {"h": body.add("Mul", ["h", body.number(0.5)])})
    with pytest.raises(UnsupportedError, match=r"the step of state h is no GRU: the next state is '0.5 h', wanted"):
        write_cells(model, states, shapes, ["layer"])


def test_an_lstm_with_projection_and_peepholes_is_its_scan() -> None:
    def write(body: Body) -> dict[str, str]:
        joined = body.add("Concat", ["x", "p"], axis=1)
        gates = body.add("Gemm", [joined, body.weight(FEATURES + 2, 4 * UNITS), body.weight(4 * UNITS)])
        i, g, f, o = (f"gate_{letter}" for letter in "igfo")
        body.add("Split", [gates], i, g, f, o, axis=1)
        i, f = (body.add("Add", [gate, body.add("Mul", ["c", body.weight(UNITS)])]) for gate in (i, f))
        added = body.add("Mul", [body.add("Sigmoid", [i]), body.add("Tanh", [g])])
        c = body.add("Add", [body.add("Mul", [body.add("Sigmoid", [f]), "c"]), added])
        h = body.add("Mul", [body.add("Sigmoid", [o]), body.add("Tanh", [c])])
        return {"p": body.add("MatMul", [h, body.weight(UNITS, 2)]), "c": c}

    assert _written(write)[1] == ["Scan"]


def test_paths_that_are_taken_are_not_used_again() -> None:
    model, states, shapes = _step(lambda body: dict(zip(["h"], loop_files.rnn(body, "x", ["h"]), strict=True)))
    write_cells(model, states, shapes, ["body", "layer"])
    assert [node.name for node in _nodes(model, "RNN")] == ["/body_1/RNN"]
