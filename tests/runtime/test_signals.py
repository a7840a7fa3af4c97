"""Chunks of several signals: taken by name, and refused by the name of the signal, alike on both backends."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import METADATA_KEY, Contract, Piece, Port
from tidegate.runtime.errors import ChunkError, RefusedRowsError
from tidegate.runtime.load import load
from tidegate.runtime.streams import Model, apart, side_by_side

BACKENDS: tuple[Literal["native", "onnxruntime"], ...] = ("native", "onnxruntime")
PIECES = (Piece("near", (2,)), Piece("far", (1, 3)))
CONTRACT = Contract((Port("x", 0, None),), (Port("y", 0, None),), (), pieces=PIECES)
NEAR, FAR = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(12, dtype=np.float32).reshape(4, 1, 3)


@pytest.fixture(params=BACKENDS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Model:
    """A model that gives the signals side by side, doubled."""
    x = helper.make_tensor_value_info("x", 1, ["time", 5])
    two = numpy_helper.from_array(np.array(2, np.float32), "two")
    nodes = [helper.make_node("Mul", ["x", "two"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", 1, ["time", 5])], [two])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    made.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=CONTRACT.to_json()))
    onnx.save(made, tmp_path / "m.onnx")
    return load(tmp_path / "m.onnx", request.param)


def test_signals_go_side_by_side_in_the_order_of_the_contract(model: Model) -> None:
    wanted = 2 * np.concatenate([NEAR, FAR.reshape(4, 3)], 1)
    assert model.contract.signals == ("near", "far")
    assert "near, far -> y" in repr(model)
    np.testing.assert_array_equal(model.stream().push({"far": FAR, "near": NEAR}), wanted)
    np.testing.assert_array_equal(model.stream().push({"near": NEAR.astype(np.float64), "far": FAR}), wanted)
    out = np.zeros((4, 5), np.float32)
    assert model.stream().push({"near": NEAR, "far": FAR}, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    empty = model.stream().push({"near": NEAR[:0], "far": FAR[:0]})
    assert empty.shape == (0, 5)


def test_groups_take_signals_by_name(model: Model) -> None:
    group = model.streams(2)
    chunks = {"near": np.stack([NEAR, -NEAR]), "far": np.stack([FAR, -FAR])}
    seen = group.push(chunks)
    np.testing.assert_array_equal(seen[1], model.stream().push({"near": -NEAR, "far": -FAR}))
    with pytest.raises(ChunkError, match=r"signal 'far' has shape \(4, 1, 3\), wanted \(rows, frames, 1, 3\)"):
        group.push({"near": chunks["near"], "far": FAR})
    with pytest.raises(ChunkError, match="signals 'far' and 'near' have 2 x 3 and 2 x 4 rows and frames"):
        group.push({"near": chunks["near"], "far": chunks["far"][:, :3]})
    chunks["far"][1, 2, 0, 1] = np.inf
    with pytest.raises(RefusedRowsError) as error:
        group.push(chunks)
    assert list(error.value.refused) == [1]
    assert error.value.refused[1].startswith("chunk holds inf in signal 'far' at frame 2, feature 1; wanted finite")


CHUNKS: list[tuple[Any, str]] = [
    (NEAR, "chunk is ndarray, wanted a dict of the signals near, far"),
    ({"near": NEAR}, "chunk has no signal 'far'; the model has near, far"),
    ({"near": NEAR, "far": FAR, "mid": NEAR}, "chunk has a signal 'mid', which the model has not; it has near, far"),
    ({"near": NEAR, "far": FAR[:3]}, "signals 'far' and 'near' have 3 and 4 frames, wanted the same number of each"),
    ({"near": NEAR, "far": FAR[..., :2]}, r"signal 'far' has shape \(4, 1, 2\), wanted \(frames, 1, 3\)"),
    ({"near": NEAR[0], "far": FAR}, r"signal 'near' has shape \(2,\), wanted \(frames, 2\)"),
    ({"near": NEAR.astype(complex), "far": FAR}, "signal 'near' has dtype complex128, wanted float32"),
    ({"near": NEAR, "far": np.full_like(FAR, np.nan)}, "chunk holds nan in signal 'far' at frame 0, feature 0; wanted"),
    ({"near": NEAR * np.float32(1e30), "far": FAR}, "chunk holds .* in signal 'near' at frame 0, feature 1; wanted"),
]


@pytest.mark.parametrize(("chunk", "message"), CHUNKS)
def test_a_wrong_chunk_of_several_signals_is_named_on_both_backends(model: Model, chunk: Any, message: str) -> None:  # noqa: ANN401  wrong on purpose
    stream = model.stream()
    with pytest.raises(ChunkError, match=message):
        stream.push(chunk)
    assert stream.frames == 0
    assert stream.refused == (4 if "holds" in message else 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_row_136_a_dict_of_one_name_is_taken_by_a_model_of_one_signal(
    tmp_path: Path, backend: Literal["native", "onnxruntime"]
) -> None:
    from tools.onnx_files import write_lstm

    model = load(write_lstm(tmp_path / "m.onnx"), backend)
    frames = np.random.default_rng(0).standard_normal((3, 6)).astype(np.float32)
    stream, (name,) = model.stream(), model.contract.signals
    wanted = np.asarray(model.stream().push(frames))
    np.testing.assert_array_equal(stream.push({name: frames}), wanted)
    out = np.zeros_like(wanted)
    assert model.stream().push({name: frames}, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(model.streams(1).push({name: frames[None]}), wanted[None])
    for wrong, message in (
        ({"other": frames}, f"chunk has a signal 'other', which the model has not; it has {name}"),
        ({}, f"chunk has no signal '{name}'; the model has {name}"),
        ({name: frames, "far": frames}, f"chunk has a signal 'far', which the model has not; it has {name}"),
        ({name: frames[:, :2]}, r"\(3, 2\)"),
    ):
        with pytest.raises(ChunkError, match=message):
            stream.push(wrong)
        with pytest.raises(ChunkError):
            model.streams(1).push({key: values[None] for key, values in wrong.items()})
    assert stream.frames == 3


def test_signals_are_taken_apart_again() -> None:
    frames: Array = side_by_side(CONTRACT, {"near": NEAR, "far": FAR})
    again = apart(PIECES, frames)
    assert isinstance(again, dict)
    np.testing.assert_array_equal(again["far"], FAR)
    assert apart((), frames) is frames
    assert side_by_side(replace(CONTRACT, pieces=()), frames) is frames
