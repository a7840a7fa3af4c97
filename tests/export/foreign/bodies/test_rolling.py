"""Loop and Scan nodes with the step of a cell inside: lifted, proved, and streamed as the file that they came from."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tidegate
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tidegate.export import lift
from tidegate.export.foreign.bodies.rolling import roll_bodies
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.projected_lstm import projected_lstm
from tools import loop_files, written_steps
from tools.foreign_files import ForeignFile
from tools.graphs import model_of
from tools.lifting import assert_streams_as, lifted, original, streamed
from tools.loop_files import CELLS, FEATURES, UNITS, Body, Cell
from tools.shared import model_folder

FRAMES = 20


def _frames(features: int = FEATURES) -> Array:
    return np.random.default_rng(1).standard_normal((FRAMES, features)).astype(np.float32)


# ---- Scan, as tf2onnx writes TensorFlow's dynamic_rnn ----


@pytest.mark.parametrize("last", [False, True], ids=["every frame", "last frame"])
@pytest.mark.parametrize("time_axis", [0, 1])
@pytest.mark.parametrize("name", CELLS)
def test_scans_stream(tmp_path: Path, name: str, time_axis: int, *, last: bool) -> None:
    cell, states = CELLS[name]
    report = lifted(tmp_path, loop_files.scan(cell, states, time_axis=time_axis, last=last))
    assert report.done[0] == f"Scan 'rnn/scan' is {name} of all frames now."
    assert [state.kind for state in report.contract.states] == ["h", "c"][:states]
    answers = original(tmp_path, np.expand_dims(_frames(), 1 - time_axis))
    assert_streams_as(tmp_path, _frames(), answers if last else np.squeeze(answers, 1 - time_axis))


def test_a_scan_of_three_streams_streams_one(tmp_path: Path) -> None:
    report = lifted(tmp_path, loop_files.scan(batch=3))
    assert report.contract.states[0].shape == (1, "batch", UNITS)
    assert_streams_as(tmp_path, _frames(), original(tmp_path, np.stack([_frames()] * 3, 1))[:, 0])


def test_a_scan_whose_last_answer_comes_first_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="turns around time"):
        lifted(tmp_path, loop_files.scan(scan_output_directions=[1]))


@pytest.mark.parametrize("last", [False, True], ids=["every frame", "last frame"])
@pytest.mark.parametrize("name", CELLS)
def test_scans_that_start_at_the_last_frame_are_backward_layers(tmp_path: Path, name: str, *, last: bool) -> None:
    cell, states = CELLS[name]
    turned: dict[str, Any] = {} if last else {"scan_output_directions": [1]}
    report = lifted(tmp_path, loop_files.scan(cell, states, last=last, scan_input_directions=[1], **turned))
    assert report.contract.states == ()
    answers = original(tmp_path, _frames()[:, None])
    assert_streams_as(tmp_path, _frames(), answers if last else answers[:, 0])


def test_two_cells_in_one_step_and_a_function_between_them(tmp_path: Path) -> None:
    """Layers of a MultiRNNCell; the second reads what the first answers."""

    def stack(body: Body, x: str, states: Sequence[str]) -> list[str]:
        (first,) = loop_files.rnn(body, x, states[:1])
        between = body.add("Mul", [body.add("Relu", [body.add("MatMul", [first, body.weight(UNITS, FEATURES)])]),
                                   body.number(0.5)])  # fmt: skip
        return [*loop_files.lstm(body, between, states[1:]), first]

    def in_order(body: Body, x: str, states: Sequence[str]) -> list[str]:
        h, c, first = stack(body, x, [states[2], states[0], states[1]])
        return [h, c, first]

    report = lifted(tmp_path, loop_files.scan(in_order, 3))
    assert report.done[0] == "Scan 'rnn/scan' is RNN and LSTM of all frames now."
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[:, None])[:, 0])


def test_states_that_start_from_constants(tmp_path: Path) -> None:
    model = loop_files.scan()
    zeros = next(t for t in model.graph.initializer if list(t.dims) == [1, UNITS])
    zeros.CopyFrom(numpy_helper.from_array(np.full((1, UNITS), 0.3, np.float32), zeros.name))
    report = lifted(tmp_path, model)
    assert [state.initial for state in report.contract.states] == ["body.h_0", "body.c_0"]
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[:, None])[:, 0])


def test_states_that_are_inputs_and_outputs(tmp_path: Path) -> None:
    """A stateful layer: the caller hands the state in and gets it back."""
    file = ForeignFile(17)
    file.input("x", ["time", 1, FEATURES])
    file.input("memory", [1, UNITS])
    body = Body(file)
    states = [body.input("h", [1, UNITS])]
    (following,) = loop_files.rnn(body, body.input("frame", [1, FEATURES]), states)
    answer = body.add("Identity", [following])
    for name in (following, answer):
        body.output(name, [1, UNITS])
    file.add("Scan", ["memory", "x"], "memory_out", "answers", name="scan", body=body.graph(), num_scan_inputs=1)
    file.output(file.head("answers", UNITS, 3, "y"), ["time", 1, 3])
    file.output("memory_out", [1, UNITS])
    report = lifted(tmp_path, file.model())
    assert [(state.input, state.output) for state in report.contract.states] == [("body.h_in", "body.h_out")]
    assert not [item.name for item in onnx.load(tmp_path / "out.onnx").graph.input if item.name == "memory"]


def test_a_layer_that_runs_for_one_frame_in_a_loop(tmp_path: Path) -> None:
    """torch.jit.script keeps the loop of a module that calls nn.LSTM for each frame."""

    def layer(body: Body, x: str, states: Sequence[str]) -> list[str]:
        starts = [body.add("Unsqueeze", [state, body.axes(0)]) for state in states]
        y, _, c = body.cell("LSTM", body.add("Unsqueeze", [x, body.axes(0)]), FEATURES, UNITS, starts)
        return [body.squeezed(y, 0, 1), body.squeezed(c, 0)]

    lifted(tmp_path, loop_files.loop(layer, 2))
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[None])[0])


@pytest.mark.parametrize("name", CELLS)
def test_stacked_layers_have_bodies_with_the_same_names(tmp_path: Path, name: str) -> None:
    (cell, count), file = CELLS[name], ForeignFile(17)
    value, zeros = file.input("x", ["time", 1, FEATURES]), file.constant(np.zeros((1, UNITS), np.float32))
    for layer in range(2):
        body = Body(file)
        states = [body.input(f"state_{i}", [1, UNITS]) for i in range(count)]
        following = cell(body, body.input("frame", [1, FEATURES]), states)
        for output in (*following, body.add("Identity", [following[0]])):
            body.output(output, [1, UNITS])
        finals = [f"final_{layer}_{i}" for i in range(count)]
        last = f"answers_{layer}"
        file.add("Scan", [*[zeros] * count, value], *finals, last, body=body.graph(), num_scan_inputs=1)
        value = file.head(last, UNITS, FEATURES, f"layer_{layer}")
    file.output(value, ["time", 1, FEATURES])
    report = lifted(tmp_path, file.model())
    assert sum(note.endswith(f"is {name} of all frames now.") for note in report.done) == 2
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[:, None])[:, 0])


def test_layers_of_the_same_name_in_two_loops_stay_apart(tmp_path: Path) -> None:
    """In each loop two layers read the same frame; all of them have the same name, or none."""
    file = ForeignFile(17)
    value, zeros = file.input("x", ["time", 1, UNITS]), file.constant(np.zeros((1, 1, UNITS), np.float32))
    for _ in range(2):
        body = Body(file)
        states = [body.input(f"h{i}", [1, 1, UNITS]) for i in range(2)]
        frame = body.add("Unsqueeze", [body.input("frame", [1, UNITS]), body.axes(0)])
        pairs = zip(states, ("rnn", ""), strict=True)
        finals = [body.cell("RNN", frame, UNITS, UNITS, [state], name=name)[1] for state, name in pairs]
        answer = body.squeezed(body.add("Add", finals), 0)
        for name in finals:
            body.output(name, [1, 1, UNITS])
        body.output(answer, [1, UNITS])
        last = f"answers_{len(file.nodes)}"
        file.add("Scan", [zeros, zeros, value], f"{last}_a", f"{last}_b", last, body=body.graph(), num_scan_inputs=1)
        value = last
    file.output(file.add("Identity", [value], "y"), ["time", 1, UNITS])
    assert len(lifted(tmp_path, file.model()).contract.states) >= 1
    assert_streams_as(tmp_path, _frames(UNITS), original(tmp_path, _frames(UNITS)[:, None])[:, 0])


STYLES = st.builds(
    written_steps.Style,
    seed=st.integers(0, 99),
    cut=st.sampled_from(written_steps.CUTS),
    joined=st.booleans(),
    gemm=st.booleans(),
    biases=st.integers(0, 2),
)


@settings(max_examples=15, deadline=None)
@given(style=STYLES, kind=st.sampled_from(["lstm", "gru", "rnn"]))
def test_any_writing_of_a_step_is_its_layer(style: written_steps.Style, kind: str) -> None:
    step = (
        {"lstm": written_steps.lstm, "rnn": written_steps.rnn}[kind](style)
        if kind != "gru"
        else (written_steps.gru(style, before=False))
    )
    states = written_steps.states_of(step)
    outputs = [*states.values(), "answer"]
    answer = helper.make_node("Identity", ["h_next"], ["answer"])
    items = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, written_steps.HIDDEN]) for name in outputs]
    inputs = {item.name: item for item in step.graph.input}
    body = helper.make_graph([*step.graph.node, answer], "body", [inputs[name] for name in (*states, "x")], items,
                             step.graph.initializer)  # fmt: skip
    finals = [f"{name}_final" for name in states]
    scan = helper.make_node("Scan", [*["zeros"] * len(states), "signal"], [*finals, "y"], "scan", body=body,
                            num_scan_inputs=1)  # fmt: skip
    zeros = np.zeros((1, written_steps.HIDDEN), np.float32)
    model = model_of([scan], {"signal": ["time", 1, written_steps.FEATURES]}, ["y"], {"zeros": zeros})
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", 1, written_steps.HIDDEN])
    )
    with TemporaryDirectory() as folder:
        lifted(Path(folder), model)
        x = _frames(written_steps.FEATURES)
        assert_streams_as(Path(folder), x, original(Path(folder), x[:, None])[:, 0])


# ---- Loop, as tf2onnx writes a layer of Keras ----


@pytest.mark.parametrize("sequences", [True, False], ids=["every frame", "last frame"])
@pytest.mark.parametrize(
    ("batch", "frames"), [("batch", "time"), ("batch", FRAMES), (1, "time"), (1, FRAMES), (4, FRAMES), (None, None)]
)
@pytest.mark.parametrize("name", CELLS)
def test_loops_stream(
    tmp_path: Path, name: str, batch: int | str | None, frames: int | str | None, *, sequences: bool
) -> None:
    cell, states = CELLS[name]
    report = lifted(tmp_path, loop_files.loop(cell, states, batch=batch, frames=frames, sequences=sequences))
    assert report.done[0] == f"Loop 'model/layer/while_loop' is {name} of all frames now."
    answers = original(tmp_path, np.stack([_frames()] * (batch if isinstance(batch, int) else 1)))
    assert_streams_as(tmp_path, _frames(), answers[0] if sequences else answers[:1])


@pytest.mark.parametrize("name", CELLS)
def test_loops_that_start_at_the_last_frame_answer_by_their_last_step(tmp_path: Path, name: str) -> None:
    lifted(tmp_path, loop_files.loop(*CELLS[name], backward=True, sequences=False))
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[None]))


@pytest.mark.parametrize("sequences", [True, False], ids=["every frame", "last frame"])
@pytest.mark.parametrize("form", [{"batch": 1, "frames": FRAMES}, {}, {"batch": None, "frames": None}], ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_row_156_the_states_of_a_stateful_layer_are_carried(
    tmp_path: Path, name: str, form: dict[str, int | None], *, sequences: bool
) -> None:
    cell, count = CELLS[name]
    report = lifted(tmp_path, loop_files.loop(cell, count, stateful=True, sequences=sequences, **form))
    assert [state.input for state in report.contract.states] == [f"body.{kind}_in" for kind in "hc"[:count]]
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx")
    memory = {f"memory_{i}": np.zeros((1, UNITS), np.float32) for i in range(count)}
    wanted, *memory_after = session.run(None, {"x": _frames()[None], **memory})
    assert_streams_as(tmp_path, _frames(), wanted[0] if sequences else wanted)
    stream = tidegate.load(tmp_path / "out.onnx").stream()
    stream.push(_frames())
    for seen, after in zip(stream.state().values(), memory_after, strict=True):
        np.testing.assert_allclose(np.ravel(seen), np.ravel(after), rtol=0, atol=2e-6)


@pytest.mark.parametrize("writes", ["scan", "sequence", "joined", "filled"])
@pytest.mark.parametrize("reads", ["scalar", "list", "slice", "sequence"])
def test_frames_and_answers_may_be_taken_in_other_forms(tmp_path: Path, reads: str, writes: str) -> None:
    lifted(tmp_path, loop_files.loop(loop_files.rnn, reads=reads, writes=writes))
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[None])[0])


@pytest.mark.parametrize("condition", ["both", "floats", "given", "true"])
def test_row_143_the_condition_may_only_count(tmp_path: Path, condition: str) -> None:
    lifted(tmp_path, loop_files.loop(loop_files.rnn, condition=condition))
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[None])[0])


@pytest.mark.parametrize(
    ("cell", "states"),
    [
        (partial(loop_files.gru, after=True), 1),
        (partial(loop_files.gru, activation="Relu"), 1),
        (partial(loop_files.rnn, activation="Softsign"), 1),
        (loop_files.hard_gru, 1),
        (partial(loop_files.rnn, activation="Relu"), 1),
    ],
    ids=["reset after", "GRU with Relu", "Softsign", "hard", "RNN with Relu"],
)
def test_options_of_a_layer(tmp_path: Path, cell: Cell, states: int) -> None:
    lifted(tmp_path, loop_files.loop(cell, states))
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[None])[0])


def _without_count(model: onnx.ModelProto, node: onnx.NodeProto) -> None:  # noqa: ARG001  as the others
    node.input[0] = ""


def _with_largest_count(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """torch.jit.script writes a loop with a condition so."""
    model.graph.initializer.append(numpy_helper.from_array(np.full((), 2**63 - 1, np.int64), "largest"))
    node.input[0] = "largest"


def _with_carried_weights(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """TensorFlow's While has no values of the graph around, so it carries weights as they are."""
    body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
    weights = next(tensor.name for tensor in model.graph.initializer if list(tensor.dims) == [UNITS, UNITS])
    for inner in body.node:
        inner.input[:] = ["inside" if name == weights else name for name in inner.input]
    items = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [UNITS, UNITS]) for name in ("inside", "outside")]
    body.node.append(helper.make_node("Identity", ["inside"], ["outside"]))
    body.input.append(items[0])
    body.output.insert(len(body.output) - 1, items[1])
    node.input.append(weights)
    node.output.insert(len(node.output) - 1, "final_weights")


@pytest.mark.parametrize("change", [_without_count, _with_largest_count, _with_carried_weights])
def test_other_forms_of_a_loop(tmp_path: Path, change: Callable[[onnx.ModelProto, onnx.NodeProto], None]) -> None:
    model = loop_files.loop(loop_files.rnn)
    change(model, next(node for node in model.graph.node if node.op_type == "Loop"))
    onnx.checker.check_model(model, full_check=True)
    lifted(tmp_path, model)
    assert_streams_as(tmp_path, _frames(), original(tmp_path, _frames()[None])[0])


# ---- refusals, and their way out ----


def _leaky(body: Body, x: str, states: Sequence[str]) -> list[str]:
    """Return h of a layer that is none of ONNX's: h' = 0.5 h + tanh(W x)."""
    own = body.add("Tanh", [body.add("MatMul", [x, body.weight(FEATURES, UNITS)])])
    return [body.add("Add", [body.add("Mul", [states[0], body.number(0.5)]), own])]


def test_a_step_that_is_no_cell_is_refused_and_keras_layers_stream(tmp_path: Path) -> None:
    message = r"Loop 'model/layer/while_loop': the step of state state_0 is no GRU: .*; use nn.LSTM, nn.GRU or "
    with pytest.raises(UnsupportedError, match=message + "nn.RNN, in Keras LSTM, GRU or SimpleRNN"):
        lifted(tmp_path, loop_files.loop(_leaky))
    for cell, states in CELLS.values():
        assert lifted(tmp_path, loop_files.loop(cell, states)).done


def test_a_scan_of_our_own_projected_lstm_stays() -> None:
    scan = projected_lstm("l0", ["h", "c", "x"], ["hn", "cn", "y"], {key: key for key in "WRPB"})
    model = model_of([scan], {"x": [9, 1, 3]}, ["y"])
    before = model.SerializeToString()
    assert roll_bodies(model) == []
    assert model.SerializeToString() == before


# ---- keyword spotting of ARM, by tf2onnx ----


@pytest.mark.parametrize(
    ("name", "cell"),
    [("kws_basic_lstm_s", "LSTM"), ("kws_lstm_s", "LSTM with projection"), ("kws_gru_s", "GRU")],
)
def test_row_80_a_keyword_spotter_streams_on_the_engine(tmp_path: Path, name: str, cell: str) -> None:
    """A Scan of TensorFlow's cell; the frames of a second are in one axis; it answers after the last frame."""
    folder = model_folder(name)
    report = lift(folder / "model.onnx", tmp_path / "out.onnx")
    assert report.done[0].endswith(f"is {cell} of all frames now.")
    reference = np.load(folder / "reference.npz")
    frames, wanted = reference["x0"], reference["y0"].reshape(1, -1)
    assert_streams_as(tmp_path, frames, wanted)
    tidegate.quantize(tmp_path / "out.onnx", tmp_path / "int8.onnx")
    seen = [streamed(tmp_path / "int8.onnx", frames, chunk)[-1] for chunk in (1, 7, len(frames))]
    assert all(np.array_equal(seen[0], other) for other in seen)
    assert np.abs(seen[0] - wanted[0]).max() < 0.1 * np.abs(wanted).max()
