"""Loading files: a usable model runs on both backends; any other file is refused by name."""

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import METADATA_KEY, Contract, Port
from tidegate.runtime.errors import BackendError, ChunkError, ContractError, ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import Backend, Source, compile_model, load
from tidegate.runtime.streams import Model, Stream
from tools.graphs import model_of
from tools.onnx_files import write_frames_lstm, write_lstm


def quantized(tmp_path: Path, hidden: int = 8) -> Path:
    quantize(write_lstm(tmp_path / "m.onnx", hidden=hidden), tmp_path / "m.int8.onnx")
    return tmp_path / "m.int8.onnx"


def test_both_backends_agree_on_answers_and_states(tmp_path: Path) -> None:
    path = quantized(tmp_path, hidden=32)
    native, ort = load(path).stream(), load(path, "onnxruntime").stream()
    frames = np.random.default_rng(0).normal(0, 1, (200, 6)).astype(np.float32)
    errors = [np.max(np.abs(np.asarray(native.push(f[None])) - np.asarray(ort.push(f[None])))) for f in frames]
    print(f"largest difference of native from onnxruntime over 200 frames: {max(errors):.1e}")
    assert max(errors) < 5e-4  # 16-bit activations against float ones
    assert native.state().keys() == ort.state().keys() == {"lstm.h_in", "lstm.c_in"}
    for name, values in ort.state().items():
        assert native.state()[name].shape == values.shape == (1, 1, 32)
        np.testing.assert_allclose(native.state()[name], values, atol=5e-4)


def test_float_file_runs_on_the_engine_as_on_onnxruntime(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    frames = np.random.default_rng(0).normal(0, 1, (200, 6)).astype(np.float32)
    native, ort = (np.asarray(m.stream().push(frames)) for m in (load(path), load(path, "onnxruntime")))
    error = float(np.max(np.abs(native - ort)))
    print(f"largest difference of native from onnxruntime, both float: {error:.1e}, allowed 1e-5")
    assert error < 1e-5


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x09", bytes(1000), b"\xff" * 64])
def test_file_that_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX file"):
        load(tmp_path / "m.onnx")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="not a regular file"):
        load(tmp_path)


def test_file_without_contract_is_refused(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    del graph.model.metadata_props[:]
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(ContractError, match=r"has no tidegate.contract in its metadata; export it"):
        load(tmp_path / "m.onnx")


@pytest.mark.parametrize("place", ["initializer", "constant"])
def test_weights_in_another_file_are_refused(tmp_path: Path, place: str) -> None:
    """A path in a model could name any file of the machine."""
    outside = onnx.TensorProto(name="W", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../../etc/passwd")
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    if place == "initializer":
        graph.model.graph.initializer.append(outside)
    else:
        node = helper.make_node("Constant", [], ["W2"])
        node.attribute.append(onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR, t=outside))
        graph.model.graph.node.insert(0, node)
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="'W' keeps its data in another file"):
        load(tmp_path / "m.onnx")


def test_graph_of_too_many_nodes_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["output"], [f"o{i}"]) for i in range(10_001)]
    with pytest.raises(ModelError, match="more than 10000 nodes, at most that many are read"):
        load(write_lstm(tmp_path / "m.onnx", nodes=nodes))


def test_operator_that_the_engine_lacks_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Sin", ["output"], ["erf"], name="strange")
    quantize(write_lstm(tmp_path / "m.onnx", nodes=[node]), tmp_path / "m.int8.onnx")
    with pytest.raises(UnsupportedError, match="Sin 'strange': the engine does not have this operator; use backend="):
        load(tmp_path / "m.int8.onnx")


def test_states_that_are_swapped_in_the_contract_are_refused(tmp_path: Path) -> None:
    """Both have the same shape: only their names tell them apart."""
    path = quantized(tmp_path)
    graph = Graph.load(path)
    text = graph.metadata("tidegate.contract") or ""
    swapped = text.replace("lstm.h_out", "?").replace("lstm.c_out", "lstm.h_out").replace("?", "lstm.c_out")
    graph.set_metadata("tidegate.contract", swapped)
    graph.save(path)
    with pytest.raises(ContractError, match=r"state output 'lstm\.c_out' does not come from the layers that read"):
        load(path)


def test_unknown_backend_and_instruction_set_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = quantized(tmp_path)
    with pytest.raises(BackendError, match="backend 'tpu' is unknown; wanted 'native' or 'onnxruntime'"):
        load(path, "tpu")  # type: ignore[arg-type]
    monkeypatch.setenv("TIDEGATE_ISA", "mmx")
    with pytest.raises(BackendError, match="instruction set 'mmx' is not in this build"):
        load(path)
    assert "scalar" in load(path, isa="scalar").backend


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((2, 7), np.float32), r"chunk has shape \(2, 7\), wanted \(frames, 6\)"),
        (np.full((3, 6), np.nan, np.float32), "chunk holds nan at frame 0, feature 0; wanted finite"),
        (np.zeros((2, 6), np.complex64), "chunk has dtype complex64, wanted float32"),
    ],
)
@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_bad_chunk_is_refused_alike_on_both_backends(tmp_path: Path, backend: str, chunk: Array, message: str) -> None:
    stream = load(quantized(tmp_path), backend).stream()  # type: ignore[arg-type]
    before = stream.push(np.ones((3, 6), np.float32)), stream.state()
    with pytest.raises(ChunkError, match=message):
        stream.push(chunk)
    for name, values in before[1].items():
        np.testing.assert_array_equal(stream.state()[name], values)


# ---- models in memory ----


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("form", ["onnx", "plan"])
def test_model_in_memory_answers_as_its_file(tmp_path: Path, form: str, kind: Callable[[bytes], Source]) -> None:
    path = quantized(tmp_path)
    frames = np.ones((4, 6), np.float32)
    wanted = load(path).stream().push(frames)
    if form == "plan":
        compile_model(path, path := tmp_path / "m.tide")
    np.testing.assert_array_equal(load(kind(path.read_bytes())).stream().push(frames), wanted)


def test_onnx_file_in_memory_runs_on_onnxruntime_and_a_plan_does_not(tmp_path: Path) -> None:
    path = quantized(tmp_path)
    frames = np.ones((4, 6), np.float32)
    first, second = (load(source, "onnxruntime").stream().push(frames) for source in (path, path.read_bytes()))
    np.testing.assert_array_equal(first, second)
    compile_model(path, tmp_path / "m.tide")
    for source in (tmp_path / "m.tide", (tmp_path / "m.tide").read_bytes()):
        name = tmp_path / "m.tide" if isinstance(source, Path) else "the model in memory"
        with pytest.raises(ModelError, match=f"^{name}: a compiled plan runs only on backend='native'"):
            load(source, "onnxruntime")


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize("content", [b"", b"m.onnx", b"TIDEGATE", bytes(1000)])
def test_bytes_that_are_no_model_are_refused(backend: Backend, content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^the model in memory: "):
        load(content, backend)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (io.BytesIO(b"m"), "^BytesIO: not a model; wanted the path of a file, or its bytes"),
        (7, "^int: not a model; wanted the path"),
        (None, "^NoneType: not a model; wanted the path"),
        (np.zeros(3, np.uint8), "^ndarray: not a model; wanted the path"),
        ("m\0.onnx", r"^m\0.onnx: not the name of a file, which has no null byte"),
    ],
)
def test_what_is_neither_a_path_nor_bytes_is_refused(source: Any, message: str) -> None:  # noqa: ANN401  the point
    with pytest.raises(ModelError, match=message):
        load(source)


# ---- chunks without frames, and memory that is shared ----

BACKENDS = ["native", "onnxruntime"]


def streaming(path: Path, backend: str) -> Model:
    return load(path, backend)  # type: ignore[arg-type]


def every_frame(tmp_path: Path) -> Path:
    """Write a file that answers each frame with as many values as it has features."""
    return write_frames_lstm(tmp_path / "m.onnx", 6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("timed", "shape"), [(False, (0,)), (True, (0, 6))])
def test_row_30_empty_chunk_is_legal_on_both_backends(
    tmp_path: Path, backend: str, timed: bool, shape: tuple[int, ...]
) -> None:
    model = streaming(every_frame(tmp_path) if timed else write_lstm(tmp_path / "m.onnx"), backend)
    plain, stream = model.stream(), model.stream()
    frames, none = np.random.default_rng(0).normal(size=(9, 6)).astype(np.float32), np.zeros((0, 6), np.float32)
    assert stream.push(none).shape == shape  # before any frame
    plain.push(frames[:4])
    stream.push(frames[:4])
    assert stream.push(none).shape == shape
    out = np.zeros(shape, np.float32)
    assert stream.push(none, out=out) is out
    assert (stream.frames, stream.refused) == (4, 0)
    np.testing.assert_array_equal(stream.push(frames[4:]), plain.push(frames[4:]))
    with pytest.raises(ChunkError, match=r"chunk has shape \(0, 7\), wanted \(frames, 6\)"):
        stream.push(np.zeros((0, 7), np.float32))
    assert stream.finish() is None
    with pytest.raises(ChunkError, match="the stream was finished"):
        stream.push(none)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("timed", "shape"), [(False, (2, 0)), (True, (2, 0, 6))])
def test_empty_chunks_of_a_group_are_legal(tmp_path: Path, backend: str, timed: bool, shape: tuple[int, ...]) -> None:
    model = streaming(every_frame(tmp_path) if timed else write_lstm(tmp_path / "m.onnx"), backend)
    group, plain = model.streams(2), model.streams(2)
    frames = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    group.push(frames)
    plain.push(frames)
    assert group.push(frames[:, :0]).shape == shape
    np.testing.assert_array_equal(group.push(frames), plain.push(frames))
    assert [group.frames(row) for row in (0, 1)] == [6, 6]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shift", [-60, -7, -6, -1, 0, 1, 6, 13, 60])
def test_row_30_answers_to_memory_of_the_chunk_have_the_same_bits(tmp_path: Path, backend: str, shift: int) -> None:
    """`out` may share memory with the chunk: shifted by values, by rows, or not at all."""
    model = streaming(every_frame(tmp_path), backend)
    frames = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    wanted = model.stream().push(frames)
    memory = np.zeros(400, np.float32)
    chunk, out = (memory[at : at + 240].reshape(40, 6) for at in (80, 80 + shift))
    chunk[:] = frames
    stream = model.stream()
    assert stream.push(chunk, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(stream.push(frames[:1]), model_after(model, frames).push(frames[:1]))


def model_after(model: Model, frames: Array) -> Stream:
    stream = model.stream()
    stream.push(frames)
    return stream


@pytest.mark.parametrize("backend", BACKENDS)
def test_answers_of_a_group_to_memory_of_its_chunks_have_the_same_bits(tmp_path: Path, backend: str) -> None:
    model = streaming(every_frame(tmp_path), backend)
    frames = np.random.default_rng(0).normal(size=(2, 5, 6)).astype(np.float32)
    wanted = model.streams(2).push(frames)
    for shift in (0, 6, 30):
        memory = np.zeros(200, np.float32)
        chunks, out = (memory[at : at + 60].reshape(2, 5, 6) for at in (40, 40 + shift))
        chunks[:] = frames
        np.testing.assert_array_equal(model.streams(2).push(chunks, out=out), wanted)


# ---- reprs ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_reprs_say_what_a_model_a_stream_and_a_group_are(tmp_path: Path, backend: str) -> None:
    model = streaming(write_lstm(tmp_path / "m.onnx"), backend)
    stream, group = model.stream(), model.streams(3)
    stream.push(np.zeros((4, 6), np.float32))
    group.leave(1)
    assert repr(model) == f"<tidegate model on {model.backend}: x -> output, states: 2>"
    assert repr(stream) == f"<tidegate stream on {model.backend}: frames: 4>"
    assert repr(group) == f"<tidegate group on {model.backend}: rows: 3, joined: 2>"
    stream.finish()
    assert repr(stream) == f"<tidegate stream on {model.backend}: frames: 4, finished>"


# ---- the work of a load ----


def chain(first: str, count: int, operator: str, *others: str, end: str = "end") -> list[onnx.NodeProto]:
    """Return nodes of one operator, each of which reads the answer of the one before."""
    names = [first, *(f"{end}{i}" for i in range(count - 1)), end]
    return [helper.make_node(operator, [names[i], *others], [names[i + 1]]) for i in range(count)]


def cells_that_read(name: str, count: int) -> list[onnx.NodeProto]:
    """Return cells that nobody reads; the gate compares their weights with their attributes."""
    return [helper.make_node("RNN", ["x", name, "W"], [f"cell{i}"], hidden_size=4) for i in range(count)]


def answers_of(count: int) -> list[onnx.NodeProto]:
    return [helper.make_node("Identity", ["x"], [f"y{i}"]) for i in range(1, count)]


LARGE: dict[str, Callable[[int], list[onnx.NodeProto]]] = {
    "sums": lambda n: chain("x", n, "Add", "ones"),
    "copies": lambda n: chain("x", n, "Identity"),
    "copies of a constant": lambda n: [
        *chain("ones", n, "Identity", end="copied"),
        *(helper.make_node("Identity", ["copied"], [f"again{i}"]) for i in range(n)),
    ],
    "copies of weights": lambda n: [*chain("W", n, "Identity", end="copied"), *cells_that_read("copied", n)],
    "answers": answers_of,
}


def bytes_of(model: onnx.ModelProto, contract: Contract) -> bytes:
    Graph(model).set_metadata(METADATA_KEY, contract.to_json())
    return model.SerializeToString()


def test_a_file_that_computes_nothing_runs_on_onnxruntime_alone() -> None:
    made = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": ("batch", "time", 4)}, ["y"], opset=17)
    data = bytes_of(made, Contract((Port("x", 1, 0),), (Port("y", 1, 0),), ()))
    with pytest.raises(UnsupportedError, match=r"its answers are its inputs; use backend='onnxruntime'$"):
        load(data)
    frames = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(load(data, backend="onnxruntime").stream().push(frames), frames)


def work_of(kind: str, count: int) -> int:
    """Return the calls of functions, also of built-in ones, in which a file of so many nodes is loaded or refused."""
    names = [f"y{i}" for i in range(count if kind == "answers" else 1)]
    nodes = [helper.make_node("Relu", ["x"], ["y0"]), *LARGE[kind](count)]
    tensors = {"ones": np.ones(4, np.float32), "W": np.ones((1, 4, 4), np.float32)}
    made = model_of(nodes, {"x": ("batch", "time", 4)}, names, tensors, opset=17)
    contract = Contract((Port("x", 1, 0),), tuple(Port(name, 1, 0) for name in names), ())
    data, calls = bytes_of(made, contract), 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    with suppress(ModelError):
        load(data)
    sys.setprofile(None)
    return calls


@pytest.mark.parametrize("kind", LARGE)
def test_a_node_more_costs_no_more_than_the_nodes_before_it(kind: str) -> None:
    work_of(kind, 10)  # what is done once for each process
    first, second, third = (work_of(kind, count) for count in (200, 400, 800))
    assert 0 < third - second < 2.2 * (second - first)
