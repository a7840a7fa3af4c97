"""Foreign files: each kind is lifted, proved and streamed; an ambiguous file is refused, and no file is left."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tidegate
from onnx import TensorProto, helper
from tidegate.export import LiftReport, lift
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import ContractError, ModelError, TidegateError, UnsupportedError
from tools import foreign_files
from tools.graphs import model_of

Lift = Callable[..., LiftReport]
NATIVE = 2e-6  # the engine with float weights against onnxruntime, for answers of about 1; seen: 6e-7


@pytest.fixture
def lifted(tmp_path: Path) -> Lift:
    """Lift a model made by hand; write `out.onnx`."""

    def run(model: onnx.ModelProto, **options: object) -> LiftReport:
        onnx.save(model, tmp_path / "foreign.onnx")
        return lift(tmp_path / "foreign.onnx", tmp_path / "out.onnx", **options)  # type: ignore[arg-type]

    return run


def _signal(path: Path, frames: int = 40) -> Array:
    port = tidegate.load(path, "onnxruntime").contract.inputs[0]
    item = next(item for item in onnx.load(path).graph.input if item.name == port.name)
    sizes = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
    features = [size for axis, size in enumerate(sizes) if axis not in (port.time_axis, port.batch_axis)]
    return np.random.default_rng(1).standard_normal((frames, *features)).astype(np.float32)


def _streamed(path: Path, backend: str, x: Array, chunk: int = 3) -> Array:
    stream = tidegate.load(path, backend).stream()  # type: ignore[arg-type]
    answers = [stream.push(x[i : i + chunk]) for i in range(0, len(x), chunk)]
    assert all(isinstance(answer, np.ndarray) for answer in answers)
    return np.concatenate([np.atleast_2d(answer) for answer in answers])


def _states(report: LiftReport) -> list[tuple[str, str, str]]:
    return [(state.input, state.output, state.kind) for state in report.contract.states]


def _assert_streams_alike(path: Path) -> None:
    """Stream on both backends, in different chunks."""
    x = _signal(path)
    wanted = _streamed(path, "onnxruntime", x)
    seen = _streamed(path, "native", x, 3 if wanted.shape[0] != len(x) else 7)
    print(f"native against onnxruntime: {np.abs(seen - wanted).max():.1e}")
    np.testing.assert_allclose(seen, wanted, atol=NATIVE)


# ---- hidden states ----


@pytest.mark.parametrize("sequences", [True, False], ids=["every frame", "last frame"])
@pytest.mark.parametrize("batch", [1, "unk__8"], ids=["batch 1", "any batch"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_keras_layers_with_zeros_inside(
    lifted: Lift, tmp_path: Path, op: str, batch: int | str, *, sequences: bool
) -> None:
    report = lifted(foreign_files.keras(op, batch=batch, sequences=sequences))
    kinds = ["h", "c"] if op == "LSTM" else ["h"]
    assert _states(report) == [(f"model.{op.lower()}.{k}_in", f"model.{op.lower()}.{k}_out", k) for k in kinds]
    assert report.contract.states[0].shape == (1, "batch", 8)
    assert report.error <= 1e-6
    _assert_streams_alike(tmp_path / "out.onnx")


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_torch_exports_with_zeros_inside(lifted: Lift, tmp_path: Path, op: str, batch: int | str) -> None:
    report = lifted(foreign_files.torch_zeros(op, batch=batch))
    assert report.contract.states[0].shape == (2, "batch", 6)
    assert (report.contract.inputs[0].time_axis, report.contract.inputs[0].batch_axis) == (1, 0)
    _assert_streams_alike(tmp_path / "out.onnx")


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_states_that_start_from_constants_of_the_file(lifted: Lift, tmp_path: Path, op: str, batch: int | str) -> None:
    report = lifted(foreign_files.torch_zeros(op, batch=batch, factor=0.1))
    assert [state.initial for state in report.contract.states] == ["rnn.h_0", "rnn.c_0"][: len(report.contract.states)]
    assert any(note.startswith("States that start from constants of the file: rnn.h_in") for note in report.done)
    start = tidegate.load(tmp_path / "out.onnx").stream().state()["rnn.h_in"]
    np.testing.assert_allclose(start.ravel(), 0.1 * np.arange(1, 13), rtol=1e-6)
    x = _signal(tmp_path / "out.onnx", 20)
    (wanted,) = onnxruntime.InferenceSession(tmp_path / "foreign.onnx").run(None, {"input": x[None]})
    np.testing.assert_allclose(_streamed(tmp_path / "out.onnx", "native", x), wanted[0], atol=NATIVE)
    _assert_streams_alike(tmp_path / "out.onnx")


def test_a_lifted_file_whose_states_start_from_constants_is_not_lifted_again(lifted: Lift, tmp_path: Path) -> None:
    """Only its contract says what they start from."""
    lifted(foreign_files.torch_zeros(factor=0.1))
    with pytest.raises(UnsupportedError, match=r"a streaming file already, and rnn\.h_in, rnn\.c_in start from its"):
        lift(tmp_path / "out.onnx", tmp_path / "again.onnx")
    assert not (tmp_path / "again.onnx").exists()


def test_a_file_of_one_stream_is_compared_stream_by_stream(lifted: Lift) -> None:
    checks = [check.name for check in lifted(foreign_files.torch_zeros(batch=1)).checks]
    assert "whole, at length 20, batch 3 (example: length 20, batch 2)" in checks


# ---- states that are inputs and outputs already ----

NAMES = [
    [("h0", "hn"), ("c0", "cn")],
    [("h", "hn"), ("c", "cn")],
    [("h_0", "h_n"), ("c_0", "c_n")],
    [("h_in", "h_out"), ("c_in", "c_out")],
    [("in_h", "out_h"), ("in_c", "out_c")],
    [("past_h", "present_h"), ("past_c", "present_c")],
    [("h_prev", "h_next"), ("c_prev", "c_next")],
    [("hidden", "hidden_out"), ("cell", "cell_out")],
    [("h0", "next_h0"), ("c0", "next_c0")],
    [("input_states_1", "output_states_1"), ("input_states_2", "output_states_2")],
]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: " ".join(f"{a}/{b}" for a, b in names))
def test_states_under_usual_names(lifted: Lift, tmp_path: Path, names: list[tuple[str, str]]) -> None:
    report = lifted(foreign_files.with_states(names))
    assert _states(report) == [(*pair, kind) for pair, kind in zip(names, "hc", strict=True)]
    assert not [name for name in onnx.load(tmp_path / "out.onnx").graph.node if name.op_type == "Slice"]
    _assert_streams_alike(tmp_path / "out.onnx")


def test_pairs_do_not_follow_the_order_of_the_outputs(lifted: Lift) -> None:
    model = foreign_files.with_states([("h", "hn"), ("c", "cn")])
    y, hn, cn = (copy.deepcopy(item) for item in model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([cn, y, hn])
    assert _states(lifted(model)) == [("h", "hn", "h"), ("c", "cn", "c")]


def test_names_that_say_nothing_are_paired_by_the_graph(lifted: Lift) -> None:
    assert _states(lifted(foreign_files.with_states([("a", "u"), ("b", "v")]))) == [("a", "u", "h"), ("b", "v", "c")]


def test_the_caller_names_the_pairs(lifted: Lift) -> None:
    model = foreign_files.with_states([("a", "u"), ("b", "v")])
    assert _states(lifted(model, states={"a": "u", "b": "v"})) == [("a", "u", "h"), ("b", "v", "c")]


def test_a_state_that_is_there_and_one_that_is_hidden(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states([("h", "hn"), ("c", "cn")])
    for node in model.graph.node:
        if node.op_type == "LSTM":
            node.input[6] = ""
    model.graph.input.remove(next(item for item in model.graph.input if item.name == "c"))
    model.graph.output.remove(next(item for item in model.graph.output if item.name == "cn"))
    kept = [node for node in model.graph.node if "c" not in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    assert _states(lifted(model)) == [("h", "hn", "h"), ("lstm.c_in", "lstm.c_out", "c")]
    _assert_streams_alike(tmp_path / "out.onnx")


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_one_frame_per_run(lifted: Lift, tmp_path: Path, op: str, batch: int | str) -> None:
    report = lifted(foreign_files.one_frame(op, batch=batch))
    assert (report.contract.inputs[0].time_axis, report.contract.outputs[0].time_axis) == (0, 0)
    assert report.contract.states[0].shape == (1, 1, 6)
    _assert_streams_alike(tmp_path / "out.onnx")


def test_row_85_h_and_c_in_the_last_axis_of_one_tensor(lifted: Lift, tmp_path: Path) -> None:
    """DTLN keeps all states in one tensor, and its own nodes split it. Each becomes a state of its layer."""
    report = lifted(foreign_files.dtln())
    assert _states(report) == [("lstm.h_in", "lstm.h_out", "h"), ("lstm.c_in", "lstm.c_out", "c")]
    assert [state.shape for state in report.contract.states] == [(2, 1, 8)] * 2
    assert "States that were packed in input_3 or hidden: lstm.h_in, lstm.c_in." in report.done
    x = _signal(tmp_path / "out.onnx")
    seen = _streamed(tmp_path / "out.onnx", "onnxruntime", x)
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx", providers=["CPUExecutionProvider"])
    state, wanted = np.zeros((1, 2, 8, 2), np.float32), []
    for frame in x:
        names = ["activation_2", "tf_op_layer_stack_2"]
        answer, state = session.run(names, {"input_2": frame[None, None], "input_3": state})
        wanted.append(answer[0, 0])
    np.testing.assert_allclose(seen, wanted, atol=1e-6)
    _assert_streams_alike(tmp_path / "out.onnx")


# ---- refusals ----


def _refused(tmp_path: Path, kind: type[TidegateError], message: str, run: Callable[[], object]) -> None:
    with pytest.raises(kind, match=message) as caught:
        run()
    assert str(tmp_path / "foreign.onnx") in str(caught.value)
    assert not (tmp_path / "out.onnx").exists()


def test_swapped_states_are_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states([("h", "cn"), ("c", "hn")])
    message = (
        r"state input 'h', which starts LSTM '.*', is paired with output 'hn', which holds the final state of 'c', not "
        r"its next state; 'cn' does: --state h=cn"
    )
    _refused(tmp_path, ContractError, message, lambda: lifted(model))


def test_a_state_that_fits_two_outputs_is_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states([("h", "hn"), ("c", "cn")])
    model.graph.node.append(helper.make_node("Identity", ["hn"], ["h_out"]))
    model.graph.output.append(helper.make_tensor_value_info("h_out", TensorProto.FLOAT, [2, "batch", 6]))
    message = r"state input 'h' may be fed by any of the outputs 'hn', 'h_out'; say which: --state h=hn"
    _refused(tmp_path, ContractError, message, lambda: lifted(model))


def test_a_state_that_no_output_feeds_is_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states([("h", "hn"), ("c", "cn")])
    model.graph.output.remove(next(item for item in model.graph.output if item.name == "cn"))
    message = (
        r"state input 'c', which starts LSTM .*, is fed by no output, wanted one .*: 'hn' \(the final state of 'h'\)"
    )
    _refused(tmp_path, ContractError, message, lambda: lifted(model))


def test_a_state_that_the_caller_forgot_is_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states([("h", "hn"), ("c", "cn")])
    message = r"state input 'c', .* is not among the states given; add it: --state c=cn"
    _refused(tmp_path, ContractError, message, lambda: lifted(model, states={"h": "hn"}))


def test_pairs_that_the_file_does_not_have_are_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states()
    message = r"states: there is no output 'h_out'; the file has 'y', 'hn', 'cn'"
    _refused(tmp_path, ContractError, message, lambda: lifted(model, states={"h0": "h_out"}))


def test_two_signals_are_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.with_states()
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.FLOAT, []))
    message = (
        r"the inputs 'x', 'rate' start no recurrent layer, wanted one signal; set the inputs .*\(--set rate=VALUE\)"
    )
    _refused(tmp_path, ContractError, message, lambda: lifted(model))
    assert lifted(model, values={"rate": 16000}).done[0] == "Input rate is constant: 16000."


def test_an_input_that_is_not_there_cannot_be_set(lifted: Lift, tmp_path: Path) -> None:
    message = r"there is no input 'sr' to set; the file has x, h0, c0"
    _refused(tmp_path, ModelError, message, lambda: lifted(foreign_files.with_states(), values={"sr": 16000}))


def test_a_frame_of_unknown_size_is_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.one_frame()
    model.graph.input[0].type.tensor_type.shape.dim[1].Clear()
    message = r"input 'frame' has shape \[N, \?\], wanted the number of new values per frame: --frame N"
    _refused(tmp_path, ContractError, message, lambda: lifted(model))
    assert lifted(model, frame=5).contract.states


def test_a_frame_of_another_size_is_refused(lifted: Lift, tmp_path: Path) -> None:
    message = r"input 'frame' takes 5 values per frame, but frame 4 and context 3 make 7; the file says the size"
    _refused(tmp_path, ContractError, message, lambda: lifted(foreign_files.one_frame(), frame=4, context=3))


def test_a_context_longer_than_a_frame_is_refused(lifted: Lift, tmp_path: Path) -> None:
    message = r"input 'frame': context 3 of 5 samples, wanted at most one frame of it"
    _refused(tmp_path, UnsupportedError, message, lambda: lifted(foreign_files.one_frame(), context=3))


def test_a_file_that_normalizes_over_the_signal_is_refused(lifted: Lift, tmp_path: Path) -> None:
    """The answer is normalized over the whole signal, but a chunk is only a part of it."""
    model = foreign_files.torch_zeros()
    mean = helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1)
    model.graph.node.insert(0, helper.make_node("Sub", ["input", "mean"], ["centred"]))
    model.graph.node.insert(0, mean)
    first = next(node for node in model.graph.node if node.op_type == "Transpose")
    first.input[0] = "centred"
    _refused(tmp_path, UnsupportedError, "ReduceMean 'mean' pools over time", lambda: lifted(model))


def test_failure_14_weights_in_another_file_are_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.keras()
    weight = next(tensor for tensor in model.graph.initializer if tensor.dims[:1] == [1])
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret")
    with pytest.raises(ModelError, match=r"keeps its data in another file: '../secret', wanted the name of a file"):
        lifted(model)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("per_tensor", [False, True], ids=["one data file", "a data file per tensor"])
@pytest.mark.parametrize("alignment", [0, 4096])
def test_weights_in_data_files_of_the_folder_are_lifted(
    lifted: Lift, tmp_path: Path, alignment: int, *, per_tensor: bool
) -> None:
    model = foreign_files.keras()
    lifted(model)
    wanted = _streamed(tmp_path / "out.onnx", "native", _signal(tmp_path / "out.onnx"))
    foreign = tmp_path / "foreign.onnx"
    onnx.save(
        copy.deepcopy(model),
        foreign,
        save_as_external_data=True,
        all_tensors_to_one_file=not per_tensor,
        location=None if per_tensor else "foreign.onnx.data",
        size_threshold=0,
        convert_attribute=True,
    )
    assert [path for path in tmp_path.iterdir() if path.suffix != ".onnx"]
    if alignment:
        _aligned(foreign, alignment)
    lift(foreign, tmp_path / "out.onnx")
    x = _signal(tmp_path / "out.onnx")
    np.testing.assert_array_equal(_streamed(tmp_path / "out.onnx", "native", x), wanted)


def _aligned(path: Path, alignment: int) -> None:
    """Move the data of each tensor to a multiple of `alignment`, with a gap before it, as exporters do."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        data, offset = path.parent / entries["location"], int(entries.get("offset", 0))
        content = data.read_bytes()
        part, padded = (
            content[offset : offset + int(entries["length"])],
            content.ljust(-(-len(content) // alignment) * alignment),
        )
        data.write_bytes(padded + part)
        del tensor.external_data[:]
        for key, value in {"location": data.name, "offset": len(padded), "length": len(part)}.items():
            tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())


def test_an_operator_set_that_cannot_be_converted_is_refused(lifted: Lift, tmp_path: Path) -> None:
    model = model_of([helper.make_node("NoSuchOperator", ["x"], ["y"])], {"x": [3]}, ["y"], opset=12)
    message = (
        r"operator set 12, wanted at least 13, and onnx.version_converter refuses it \(.*\); export the model again"
    )
    _refused(tmp_path, UnsupportedError, message, lambda: lifted(model))


def test_all_outputs_of_a_file_stay(lifted: Lift, tmp_path: Path) -> None:
    """A final state that is an output is an answer, also if it repeats a state."""
    file = foreign_files.ForeignFile(15)
    y, h, c = file.cell("LSTM", file.input("x", ["time", "batch", 5]), 5, 6)
    file.output(y, ["time", 1, "batch", 6])
    file.output(h, [1, "batch", 6])
    file.output(c, [1, "batch", 6])
    report = lifted(file.model())
    assert [port.name for port in report.contract.outputs] == [y, h, c]
    stream = tidegate.load(tmp_path / "out.onnx").stream()
    answers = stream.push(_signal(tmp_path / "out.onnx", 9))
    assert isinstance(answers, dict)
    assert {name: values.shape for name, values in answers.items()} == {y: (9, 1, 6), h: (1, 6), c: (1, 6)}
    state = stream.state()
    for name, kind in ((h, "h"), (c, "c")):
        np.testing.assert_array_equal(answers[name], state[f"lstm.{kind}_in"][:, 0])


def test_a_backward_layer_of_a_file_of_one_frame_per_run_is_refused(lifted: Lift, tmp_path: Path) -> None:
    file = foreign_files.ForeignFile(15)
    x = file.add("Unsqueeze", [file.input("x", ["N", 5]), file.axes(0)])
    y, *_ = file.cell("GRU", x, 5, 6, direction="reverse", linear_before_reset=1)
    file.output(file.squeezed(y, 0, 1), ["N", 6])
    message = "direction = 'reverse' in a file that takes one frame per run, wanted 'forward'; write the model with all"
    _refused(tmp_path, UnsupportedError, message, lambda: lifted(file.model()))


def test_a_graph_that_is_not_valid_is_refused(lifted: Lift, tmp_path: Path) -> None:
    model = foreign_files.torch_zeros()
    next(node for node in model.graph.node if node.op_type == "LSTM").input[1] = "nowhere"
    with pytest.raises(TidegateError):
        lifted(model)
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_that_is_there_stays_when_a_lift_fails(lifted: Lift, tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_bytes(b"older")
    with pytest.raises(ContractError):
        lifted(foreign_files.with_states([("h", "cn"), ("c", "hn")]))
    assert (tmp_path / "out.onnx").read_bytes() == b"older"
