"""Third-party files with backward layers stream in blocks, or as one block that equals the file at finish()."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tidegate
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from tidegate.export import lift
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import Blocks
from tidegate.runtime.errors import ContractError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import Backend, load
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.reference import ReferenceStream
from tools.foreign_files import GATES, ForeignFile
from tools.streams import cuts

BACKENDS: list[Backend] = ["native", "onnxruntime"]
FEATURES, HIDDEN = 5, 4
NEAR = 1e-5  # of the largest answer
FRAMES = np.random.default_rng(1).normal(0, 1, (40, FEATURES)).astype(np.float32)
IDS = np.random.default_rng(2).integers(0, 50, 40)


def cell(file: ForeignFile, op: str, x: str, features: int, directions: int = 2, **options: Any) -> list[str]:  # noqa: ANN401
    """Add a node of one or two directions; return the names of its outputs."""
    rows = GATES[op] * HIDDEN
    weights = [file.weight(directions, rows, n) for n in (features, HIDDEN)]
    weights.append(file.weight(directions, 2 * rows))
    outputs = [f"{op}_{len(file.nodes)}_{letter}" for letter in ("Y", "Y_h", "Y_c")[: 3 if op == "LSTM" else 2]]
    more = {"linear_before_reset": 1} if op == "GRU" else {}
    file.add(op, [x, *weights], *outputs, hidden_size=HIDDEN, **more, **options)
    return outputs


def as_torch(op: str, layers: int = 2, *, ids: bool = False) -> onnx.ModelProto:
    """Return a tagger in the form of torch.onnx.export: batch first, ids of one byte or features."""
    file = ForeignFile(13)
    if ids:
        wide = file.add("Cast", [file.input("x", ["batch", "time"], TensorProto.UINT8)], to=TensorProto.INT64)
        value = file.add("Gather", [file.weight(256, FEATURES), wide])
    else:
        value = file.input("x", ["batch", "time", FEATURES])
    value = file.add("Transpose", [value], perm=[1, 0, 2])
    for layer in range(layers):
        y, *_ = cell(file, op, value, 2 * HIDDEN if layer else FEATURES, direction="bidirectional")
        moved = file.add("Transpose", [y], perm=[0, 2, 1, 3])
        value = file.add("Reshape", [moved, file.constant(np.array([0, 0, -1]))])
    file.output(file.head(file.add("Transpose", [value], perm=[1, 0, 2]), 2 * HIDDEN, 3, "tags"), ["batch", "time", 3])
    return file.model()


def as_two_nodes(op: str) -> onnx.ModelProto:
    """Return a forward and a reverse node over the same frames, joined along the features."""
    file = ForeignFile(15)
    x = file.input("x", ["time", "batch", FEATURES])
    each = [cell(file, op, x, FEATURES, 1, direction=which)[0] for which in ("forward", "reverse")]
    joined = file.add("Concat", [file.squeezed(y, 1) for y in each], axis=-1)
    file.output(file.head(joined, 2 * HIDDEN, 3, "tags"), ["time", "batch", 3])
    return file.model()


def last_answer(op: str) -> onnx.ModelProto:
    """Return a classifier of the final h of both directions, joined by a Transpose and a Reshape."""
    file = ForeignFile(15)
    _, h, *_ = cell(file, op, file.input("x", ["time", "batch", FEATURES]), FEATURES, direction="bidirectional")
    moved = file.add("Transpose", [h], perm=[1, 0, 2])
    flat = file.add("Reshape", [moved, file.constant(np.array([-1, 2 * HIDDEN]))])
    file.output(file.head(flat, 2 * HIDDEN, 3, "scores"), ["batch", 3])
    return file.model()


def node(op: str, direction: str) -> onnx.ModelProto:
    """Return a single node whose Y, Y_h and Y_c are the answers."""
    file = ForeignFile(15)
    directions = 1 + (direction == "bidirectional")
    y, *finals = cell(file, op, file.input("x", ["time", "batch", FEATURES]), FEATURES, directions, direction=direction)
    file.output(y, ["time", directions, "batch", HIDDEN])
    for final in finals:
        file.output(final, [directions, "batch", HIDDEN])
    return file.model()


def final_cells(**options: Any) -> onnx.ModelProto:  # noqa: ANN401
    """Return two bidirectional LSTMs whose final c, joined, and a product of the last of them are the answers."""
    file = ForeignFile(15)
    value, finals = file.input("x", ["time", "batch", FEATURES]), []
    for layer in range(2):
        options |= {"direction": "bidirectional"}
        y, _, c = cell(file, "LSTM", value, 2 * HIDDEN if layer else FEATURES, **options)
        moved = file.add("Transpose", [y], perm=[0, 2, 1, 3])
        value = file.add("Reshape", [moved, file.constant(np.array([0, 0, -1]))])
        finals.append(c)
    file.output(file.add("Concat", finals, "cells", axis=0), [4, "batch", HIDDEN])
    last = file.add("Gather", [finals[-1], file.constant(np.array(1))], axis=0)
    file.output(file.head(last, HIDDEN, 3, "scores"), ["batch", 3])
    return file.model()


def batch_axis(model: onnx.ModelProto) -> int:
    return 0 if model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch" else 1


def original(model: onnx.ModelProto, frames: Array) -> dict[str, Array]:
    """Return the file's answers to one stream, without the batch axis of the answers."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    kind = np.uint8 if model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8 else np.float32
    x = np.expand_dims(frames.astype(kind), batch_axis(model))
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def at_the_end(path: Path, backend: Backend, frames: Array, chunks: int = 7) -> dict[str, Array]:
    """Return the answers of finish() by output."""
    model = load(path, backend)
    stream = model.stream()
    for at in range(0, len(frames), chunks):
        stream.push(frames[at : at + chunks])
    rest = stream.finish()
    assert rest is not None
    return rest if isinstance(rest, dict) else {model.contract.outputs[0].name: np.asarray(rest)}


def near(seen: Array, wanted: Array) -> bool:
    return float(np.abs(seen.ravel() - wanted.ravel()).max()) <= NEAR * float(np.abs(wanted).max())


CASES = {
    **{f"{op} as torch, {layers} layers": as_torch(op, layers) for op in GATES for layers in (1, 2)},
    **{f"{op} as two nodes": as_two_nodes(op) for op in GATES},
    **{f"{op}, the last answer": last_answer(op) for op in GATES},
    **{f"{op} node, {way}": node(op, way) for op in GATES for way in ("bidirectional", "reverse")},
    "LSTM as torch, ids": as_torch("LSTM", ids=True),
    "final c": final_cells(),
    "final c, coupled": final_cells(input_forget=1),
}


@pytest.mark.parametrize("case", CASES)
def test_row_95_a_lifted_file_answers_at_its_end_as_the_file(tmp_path: Path, case: str) -> None:
    model = CASES[case]
    onnx.save(model, tmp_path / "m.onnx")
    report = lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    assert (report.contract.blocks, report.contract.lookahead) == (Blocks(None, 0, 4096), None)
    assert report.refused == {}
    frames = IDS if "ids" in case else FRAMES
    wanted = original(model, frames)
    seen = {backend: at_the_end(tmp_path / "out.onnx", backend, frames) for backend in BACKENDS}
    for backend, answers in seen.items():
        assert set(answers) == set(wanted)
        assert all(near(answers[name], values) for name, values in wanted.items()), backend
    assert all(seen["native"][name].shape == values.shape for name, values in seen["onnxruntime"].items())


@pytest.mark.parametrize(
    "case",
    ["LSTM as torch, 2 layers", "GRU, the last answer", "RNN node, bidirectional", "final c", "LSTM node, reverse"],
)
def test_a_quantized_file_keeps_its_bits_in_every_chunking(tmp_path: Path, case: str) -> None:
    onnx.save(CASES[case], tmp_path / "m.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    tidegate.quantize(tmp_path / "out.onnx", tmp_path / "int8.onnx")
    first, *others = (at_the_end(tmp_path / "int8.onnx", "native", FRAMES, size) for size in (1, 7, 40))
    plain = ReferenceStream(lower(Graph.load(tmp_path / "int8.onnx")))
    plain.push(FRAMES)
    plain_end = plain.finish()
    for name, values in first.items():
        for other in others:
            np.testing.assert_array_equal(values, other[name])
        np.testing.assert_array_equal(values, np.asarray(plain_end[name]))


@settings(max_examples=15, deadline=None)
@given(block=st.integers(1, 9), lookahead=st.integers(0, 5), at=cuts(40))
def test_blocks_give_the_same_bits_in_every_chunking(
    tmp_path_factory: pytest.TempPathFactory, block: int, lookahead: int, at: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    onnx.save(as_torch("GRU", 1), folder / "m.onnx")
    report = lift(folder / "m.onnx", folder / "out.onnx", block=block, lookahead=lookahead)
    assert report.contract.lookahead == block - 1 + lookahead
    model = load(folder / "out.onnx")

    def streamed(ends: list[int]) -> Array:
        stream = model.stream()
        answers = [stream.push(FRAMES[a:b]) for a, b in pairwise(ends)]
        return np.concatenate([np.asarray(one) for one in (*answers, stream.finish()) if one is not None])

    seen = streamed([0, *at, 40])
    assert seen.shape == (40, 3)
    np.testing.assert_array_equal(seen, streamed([0, 40]))


def test_options_of_blocks_need_a_backward_layer(tmp_path: Path) -> None:
    file = ForeignFile(15)
    y, *_ = cell(file, "GRU", file.input("x", ["time", "batch", FEATURES]), FEATURES, 1)
    file.output(y, ["time", 1, "batch", HIDDEN])
    onnx.save(file.model(), tmp_path / "m.onnx")
    with pytest.raises(ContractError, match="block=, lookahead= and limit= are for bidirectional layers"):
        lift(tmp_path / "m.onnx", tmp_path / "out.onnx", block=4)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("direction", ["bidirectional", "reverse"])
def test_a_state_input_of_a_backward_layer_is_refused_and_the_advice_streams(tmp_path: Path, direction: str) -> None:
    model = node("GRU", direction)
    size = 2 if direction == "bidirectional" else 1
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    model.graph.input.append(onnx.helper.make_tensor_value_info("h0", TensorProto.FLOAT, [size, 1, HIDDEN]))
    model.graph.node[0].input.extend(["", "h0"])
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"GRU '\w+': its initial state comes from 'h0', .* set --set h0=0$"):
        lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "out.onnx", values={"h0": 0})
    wanted = original(node("GRU", direction), FRAMES)
    seen = at_the_end(tmp_path / "out.onnx", "native", FRAMES)
    assert all(near(seen[name], values) for name, values in wanted.items())


@pytest.mark.parametrize("case", ["final c", "LSTM node, bidirectional", "LSTM node, reverse"])
@pytest.mark.parametrize("lookahead", [0, 2])
def test_row_135_a_final_c_in_blocks_is_that_of_the_last_block(tmp_path: Path, case: str, lookahead: int) -> None:
    """Also that of a forward direction: with the answers of a block comes the c after its last frame."""
    model = CASES[case]
    onnx.save(model, tmp_path / "m.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "out.onnx", block=6, lookahead=lookahead)
    finals = [output.name for output in model.graph.output if "Y" not in output.name or output.name.endswith("c")]
    streams = {backend: load(tmp_path / "out.onnx", backend).stream() for backend in BACKENDS}
    pushed = 0
    for start, end in pairwise([0, 4, 8, 23, 24, 40]):
        seen = [stream.push(FRAMES[start:end]) for stream in streams.values()]
        for name in finals:
            one, other = (np.asarray(answers[name]) for answers in seen if isinstance(answers, dict))
            assert one.shape == other.shape
            assert one.size == 0 or near(one, other)
            pushed += one.size
    assert pushed
    if case == "LSTM node, reverse":  # the first block, with its lookahead
        answers = load(tmp_path / "out.onnx").stream().push(FRAMES[: 6 + lookahead])
        wanted = original(model, FRAMES[: 6 + lookahead])
        assert isinstance(answers, dict)
        assert all(near(np.asarray(answers[name]), wanted[name]) for name in finals)


def test_a_final_c_is_calibrated(tmp_path: Path) -> None:
    onnx.save(final_cells(), tmp_path / "m.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "out.onnx")
    frames = np.random.default_rng(3).normal(0, 1, (400, FEATURES)).astype(np.float32)
    tidegate.quantize(tmp_path / "out.onnx", tmp_path / "plain.onnx")
    tidegate.quantize(tmp_path / "out.onnx", tmp_path / "int8.onnx", calibration=np.split(frames, 5))
    wanted = original(final_cells(), FRAMES)["cells"].ravel()
    errors = [
        float(np.square(at_the_end(tmp_path / name, "native", FRAMES)["cells"].ravel() - wanted).sum())
        for name in ("plain.onnx", "int8.onnx")
    ]
    assert errors[1] < errors[0]
