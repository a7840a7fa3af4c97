"""Advice of streams, groups and files that was followed: the way out that a message names works, on each backend."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from tidegate.runtime.contract import METADATA_KEY
from tidegate.runtime.errors import ChunkError, ModelError, PlanError, RowError, SnapshotError, TidegateError
from tidegate.runtime.load import compile_model, load
from tidegate.runtime.streams import Group
from tools.onnx_files import write_lstm

Backend = Literal["native", "onnxruntime"]
FRAMES = np.ones((3, 6), np.float32)
BACKENDS = pytest.mark.parametrize("backend", ["native", "onnxruntime"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_lstm(tmp_path / "m.onnx")


@BACKENDS
def test_a_finished_stream_starts_again_after_reset(path: Path, backend: Backend) -> None:
    stream = load(path, backend).stream()
    wanted = np.asarray(stream.push(FRAMES))
    stream.finish()
    with pytest.raises(ChunkError, match=r"the stream was finished; reset\(\) starts a new one"):
        stream.push(FRAMES)
    stream.reset()
    np.testing.assert_array_equal(stream.push(FRAMES), wanted)


def _together(group: Group, rows: list[int]) -> object:
    return group.push(np.stack([FRAMES] * len(rows)), rows)


Act = Callable[[Group], object]


def _push(*rows: int) -> Act:
    return lambda group: group.push(np.stack([FRAMES] * len(rows)), rows)


def _leave(row: int) -> Act:
    return lambda group: group.leave(row)


def _join(row: int | None = None) -> Act:
    return lambda group: group.join(row)


def _reset(row: int) -> Act:
    return lambda group: group.reset(row)


ROWS: dict[str, tuple[list[Act], str, list[Act]]] = {
    "taken": ([_join(0)], "row 0 has joined; leave it first, or reset it", [_leave(0), _join(0)]),
    "taken, reset": ([_join(0)], "or reset it", [_reset(0), _push(0)]),
    "not joined": ([_leave(1), _push(1)], "row 1 has not joined; join it first", [_join(1), _push(1)]),
    "not there": ([_reset(7)], "the group has rows 0 to 1", [_reset(1)]),
    "twice": ([_push(1, 1)], "named more than once; push its chunks one after the other", [_push(1), _push(1)]),
    "full": ([_join()], "all 2 rows have joined; leave one first, or make a", [_leave(0), _join()]),
}


@BACKENDS
@pytest.mark.parametrize("name", ROWS)
def test_the_way_out_of_a_row_works(path: Path, backend: Backend, name: str) -> None:
    acts, message, way_out = ROWS[name]
    group = load(path, backend).streams(2)
    for act in acts[:-1]:
        act(group)
    with pytest.raises(RowError, match=message):
        acts[-1](group)
    for act in way_out:
        act(group)


def test_a_plan_runs_on_the_engine_and_its_file_on_onnxruntime(path: Path, tmp_path: Path) -> None:
    compile_model(path, tmp_path / "m.tide")
    with pytest.raises(ModelError, match="runs only on backend='native'; load the ONNX file instead"):
        load(tmp_path / "m.tide", "onnxruntime")
    answers = [load(tmp_path / "m.tide").stream().push(FRAMES), load(path, "onnxruntime").stream().push(FRAMES)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:200] + b"\0" + data[201:]])
def test_a_damaged_plan_is_compiled_again(path: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    plan = tmp_path / "m.tide"
    compile_model(path, plan)
    plan.write_bytes(change(plan.read_bytes()))
    with pytest.raises(PlanError, match="the file is damaged, compile it again"):
        load(plan)
    compile_model(path, plan)
    assert load(plan).stream().push(FRAMES) is not None


def test_an_instruction_set_that_is_not_there_is_replaced_by_one_of_the_list(path: Path) -> None:
    with pytest.raises(TidegateError, match=r"is not in this build, which has .*scalar"):
        load(path, isa="abacus")
    assert "scalar" in load(path, isa="scalar").backend


@BACKENDS
def test_a_chunk_of_another_shape_fits_as_the_message_says(path: Path, backend: Backend) -> None:
    stream = load(path, backend).stream()
    with pytest.raises(ChunkError, match=r"has shape \(6,?\), wanted \(frames, 6\)"):
        stream.push(FRAMES[0])
    assert stream.push(FRAMES[:1]) is not None


Fields = dict[str, Any]
CONTRACTS: dict[str, tuple[Callable[[Fields], object], str]] = {
    "a newer version": (
        lambda c: c.update(version=99),
        "version 99, this .* reads 1 to .*; export the model",
    ),
    "an output of no graph": (lambda c: c["outputs"][0].update(name="z"), "'z' is not an output of the graph; export"),
    "a time axis": (lambda c: c["outputs"][0].update(time_axis=0), "the graph says None; export the model again"),
    "a lookahead": (lambda c: c.update(lookahead=3), "lookahead is 3, the graph says 0; export the model again"),
    "an initial state": (
        lambda c: c["states"][0].update(initial="v"),
        "no initializer of the file; export the model",
    ),
}


@BACKENDS
@pytest.mark.parametrize("name", CONTRACTS)
def test_row_126_a_contract_that_does_not_fit_is_refused_until_the_model_is_exported_again(
    path: Path, backend: Backend, name: str
) -> None:
    change, message = CONTRACTS[name]
    model = onnx.load(path)
    entry = next(one for one in model.metadata_props if one.key == METADATA_KEY)
    fields = json.loads(entry.value)
    change(fields)
    entry.value = json.dumps(fields)
    if backend == "native" or name not in ("a time axis", "a lookahead"):  # onnxruntime sees these in its answers
        with pytest.raises(ModelError, match=message):
            load(model.SerializeToString(), backend)
    assert load(write_lstm(path), backend).stream().push(FRAMES) is not None


def test_a_plan_in_place_of_a_file_and_an_unknown_form_are_refused(path: Path, tmp_path: Path) -> None:
    compile_model(path, tmp_path / "m.tide")
    for data in (b"", onnx.ModelProto().SerializeToString(), b"text"):
        with pytest.raises(ModelError, match="export one with `tidegate export`"):
            load(data)
    with pytest.raises(ModelError, match="and a compiled plan is none; export one with `tidegate export`"):
        compile_model(tmp_path / "m.tide", tmp_path / "again.tide")
    with pytest.raises(ModelError, match="form is 'pascal', wanted 'plan' or 'c'"):
        compile_model(path, tmp_path / "m.pas", "pascal")  # type: ignore[arg-type]
    assert not (tmp_path / "m.pas").exists()
    compile_model(path, tmp_path / "m.c", "c")


@BACKENDS
def test_a_damaged_snapshot_is_taken_again_and_another_one_restored_there(path: Path, backend: Backend) -> None:
    stream, other = load(path, backend).stream(), load(write_lstm(path.with_name("n.onnx"), hidden=9), backend).stream()
    saved = stream.snapshot()
    with pytest.raises(SnapshotError, match="it is damaged, take it again; stream unchanged"):
        stream.restore(saved[:-1] + bytes([saved[-1] ^ 1]))
    stream.restore(stream.snapshot())
    with pytest.raises(SnapshotError, match=r"it was taken of another (model|plan), restore it there"):
        other.restore(saved)
    load(path, backend).stream().restore(saved)
    here: Backend = "onnxruntime" if backend == "native" else "native"
    with pytest.raises(SnapshotError, match="it was taken on another backend, restore it there"):
        load(path, here).stream().restore(saved)


@BACKENDS
def test_a_group_has_one_row_or_more(path: Path, backend: Backend) -> None:
    with pytest.raises(RowError, match="0 streams in a group; wanted 1 to 1048576"):
        load(path, backend).streams(0)
    assert load(path, backend).streams(1).push(FRAMES[None]) is not None


def _stranger(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Gemm")
    node.op_type, node.domain = "Head", "acme"
    model.opset_import.append(onnx.helper.make_opsetid("acme", 1))
    del node.attribute[:]


FILES: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "metadata of another version": (
        lambda m: m.metadata_props.append(onnx.StringStringEntryProto(key="tidegate.other", value="{}")),
        "metadata 'tidegate.other' is unknown, .*; another version wrote the file, export it again",
    ),
    "an operator of a stranger": (
        _stranger,
        "'acme' is no domain of ONNX or onnxruntime: export it again",
    ),
    "an attribute twice": (
        lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0]),
        "is there more than once; export the model again",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_exported_again(path: Path, name: str) -> None:
    change, message = FILES[name]
    model = onnx.load(path)
    change(model)
    with pytest.raises(ModelError, match=message):
        load(model.SerializeToString())
    assert load(write_lstm(path)).stream().push(FRAMES) is not None
