"""A step for all frames: values of each frame, of before the first step, and of after the last one."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.foreign.bodies.rolled import Rolled
from tidegate.export.foreign.bodies.step import Answers, Carried, Frames, Step
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.projected_lstm import projected_lstm
from tools.graphs import floats, model_of, run

BATCH, FEATURES, UNITS, TIME = 2, 3, 4, 5
TENSORS = {
    "W": floats(1, UNITS, FEATURES, seed=1),
    "R": floats(1, UNITS, UNITS, seed=2),
    "axis": np.array([0]),
    "axes": np.array([0, 1]),
}
CELL = (  # an RNN of one frame: its answer is `y`, its state after the frame `next`
    helper.make_node("Unsqueeze", ["x", "axis"], ["frame"], "frame"),
    helper.make_node("Unsqueeze", ["h", "axis"], ["start"], "start"),
    helper.make_node("RNN", ["frame", "W", "R", "", "", "start"], ["Y", "Y_h"], "rnn", hidden_size=UNITS),
    helper.make_node("Squeeze", ["Y", "axes"], ["y"], "y"),
    helper.make_node("Squeeze", ["Y_h", "axis"], ["next"], "next"),
)
X, H0 = floats(TIME, BATCH, FEATURES), floats(BATCH, UNITS, seed=3)


def _step(answers: Answers, following: str = "next", *, time: int = 0, backward: bool = False) -> Step:
    node = helper.make_node("Scan", ["h0"], ["final", "answers"], "scan")
    carried = Carried("h0", "h", following, "final")
    return Step(node, (), (Frames("signal", "x", time),), (carried,), (answers,), (), backward)


def _rolled(step: Step, *more: onnx.NodeProto) -> onnx.ModelProto:
    """Return a model of the rolled step; `more` are nodes of the step besides its cell."""
    inner = Graph(model_of([*CELL, *more], {"x": [BATCH, FEATURES], "h": [BATCH, UNITS]}, [], TENSORS))
    nodes = Rolled(step, inner, {"signal": 3, "y": 2, "double": 2}).run()
    dims: list[int | str | None] = [TIME, BATCH, FEATURES]
    dims.insert(step.frames[0].axis, dims.pop(0))
    model = model_of(nodes, {"signal": dims, "h0": [BATCH, UNITS]}, ["answers", "final"])
    model.graph.initializer.extend(inner.model.graph.initializer)
    return model


def _wanted(x: Array) -> Array:
    """Return h after each frame."""
    h, found = H0, []
    for frame in x:
        h = np.tanh(frame @ TENSORS["W"][0].T + h @ TENSORS["R"][0].T)
        found.append(h)
    return np.stack(found)


def _check(model: onnx.ModelProto, signal: Array, answers: Array, final: Array) -> None:
    seen = run(model, {"signal": signal, "h0": H0})
    np.testing.assert_allclose(seen["answers"], answers, atol=1e-6)
    np.testing.assert_allclose(seen["final"], final, atol=1e-6)


def test_each_frame_and_the_last_state() -> None:
    _check(_rolled(_step(Answers("y", "answers"))), X, _wanted(X), _wanted(X)[-1])


@pytest.mark.parametrize("axis", [1, -2])
def test_time_may_be_on_another_axis(axis: int) -> None:
    model = _rolled(_step(Answers("y", "answers", axis), time=1))
    _check(model, X.swapaxes(0, 1), _wanted(X).swapaxes(0, 1), _wanted(X)[-1])


@pytest.mark.parametrize("turned", [False, True])
def test_steps_that_start_at_the_last_frame(*, turned: bool) -> None:
    """Their answers come in the order of the frames if the answer of the last step is put in front."""
    model = _rolled(_step(Answers("y", "answers", turned=turned), backward=True))
    wanted = _wanted(X[::-1])
    assert next(node for node in model.graph.node if node.op_type == "RNN").attribute[-1].s == b"reverse"
    _check(model, X, wanted[::-1] if turned else wanted, wanted[-1])


def test_functions_of_a_frame_act_on_all_frames() -> None:
    double = helper.make_node("Add", ["y", "y"], ["double"], "double")
    _check(_rolled(_step(Answers("double", "answers")), double), X, 2 * _wanted(X), _wanted(X)[-1])


def test_the_state_may_follow_from_the_answer() -> None:
    """Of one frame, Y is the last state too."""
    _check(_rolled(_step(Answers("y", "answers"), "y")), X, _wanted(X), _wanted(X)[-1])


@pytest.mark.parametrize(
    ("node", "answer", "following", "message"),
    [
        (("Neg", "h"), "double", "next", "Neg 'double' computes with 'h', which is carried from frame to frame"),
        (
            ("Neg", "y"),
            "y",
            "double",
            "Neg 'double' makes 'double', which is carried to the next frame, and is no part",
        ),
        (("Neg", "W"), "double", "next", "its answer 'double' is the same for each frame or a cell state"),
        (("Identity", "y"), "y", "x", "a frame holds 'x', which is carried to the next frame"),
        (("Loop", "y"), "double", "next", "Loop 'double': is in the loop over time and not known to act on each frame"),
    ],
)
def test_what_is_no_layer_is_refused(node: tuple[str, str], answer: str, following: str, message: str) -> None:
    made = helper.make_node(node[0], [node[1]], ["double"], "double")
    with pytest.raises(UnsupportedError, match=message):
        _rolled(_step(Answers(answer, "answers"), following), made)


def test_a_sequence_of_unknown_axes_is_refused() -> None:
    inner = Graph(model_of(CELL, {}, [], TENSORS))
    with pytest.raises(
        UnsupportedError, match=r"Scan 'scan': the number of axes of 'signal' .*; declare the shape of the file"
    ):
        Rolled(_step(Answers("y", "answers"), time=1), inner, {}).run()


def test_an_lstm_with_projection_that_runs_backward_is_refused() -> None:
    states = {"h": [BATCH, 2], "c": [BATCH, UNITS]}
    starts = [helper.make_node("Unsqueeze", [name, "axis"], [f"{name}_1"]) for name in ("h", "c", "x")]
    scan = projected_lstm("layer", ["h_1", "c_1", "x_1"], ["h_n", "c_n", "Y"], {key: key for key in "WRPB"})
    answer = helper.make_node("Squeeze", ["h_n", "axis"], ["y"])
    inner = Graph(model_of([*starts, scan, answer], {"x": [BATCH, FEATURES], **states}, [], TENSORS))
    message = (
        "Scan 'scan': an LSTM with projection starts at the last frame, wanted one that starts at the first; train it"
        " forward, or without the projection"
    )
    with pytest.raises(UnsupportedError, match=message):
        Rolled(_step(Answers("y", "answers"), "y", backward=True), inner, {"signal": 3, "y": 2}).run()
