"""Weights in other files of the model's folder: read if everything fits, else refused by the name of the tensor."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, numpy_helper
from tidegate.runtime.errors import ModelError
from tidegate.runtime.graph.data_files import DataFiles
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tools.onnx_files import write_lstm

VALUES = np.arange(8, dtype=np.float32)
BYTES = VALUES.tobytes()


def _tensor(**entries: object) -> TensorProto:
    tensor = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with data files, links to a file outside, and a folder; `path` of the model is `m.onnx`."""
    folder = tmp_path / "models"
    (folder / "inner").mkdir(parents=True)
    for path in (tmp_path / "secret", tmp_path / "linked", folder / "data", folder / "inner" / "data"):
        path.write_bytes(b"head" + BYTES)
    (folder / "soft").symlink_to(tmp_path / "secret")
    (folder / "near").symlink_to(folder / "data")
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    os.link(tmp_path / "linked", folder / "hard")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("entries", [{"offset": 4, "length": 32}, {"offset": 4}, {"offset": 4, "checksum": "0"}])
def test_data_of_the_folder_are_brought_in(folder: Path, entries: dict[str, object]) -> None:
    tensor = _tensor(location="data", **entries)
    DataFiles(str(folder / "m.onnx")).bring_in(tensor, 32)
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), VALUES)
    assert (tensor.data_location, len(tensor.external_data)) == (TensorProto.DEFAULT, 0)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../secret", r"'\.\./secret', wanted the name of a file in the same folder; save the model as one file"),
        ("inner/data", "wanted the name of a file in the same folder"),
        ("{folder}/data", "wanted the name of a file in the same folder"),
        ("./data", "wanted the name of a file in the same folder"),
        ("..\\data", "wanted the name of a file in the same folder"),
        ("data\0", "wanted the name of a file in the same folder"),
        ("..", "wanted the name of a file in the same folder"),
        ("", "wanted the name of a file in the same folder"),
        ("soft", "soft: is a link; copy the data file itself into the folder of the model"),
        ("near", "near: is a link"),
        ("dangling", "dangling: is a link"),
        ("hard", "hard: is a link"),
        ("inner", "inner: not a regular file"),
        ("pipe", "pipe: not a regular file"),
        ("long" * 99, "long"),
        ("absent", "absent: no such file; copy the data file itself into the folder of the model"),
    ],
)
def test_row_14_only_regular_files_of_the_folder_are_read(folder: Path, location: str, message: str) -> None:
    tensor = _tensor(location=location.format(folder=folder), offset=4, length=32)
    with pytest.raises(ModelError, match=rf"m\.onnx: 'W' keeps its data in another file: .*{message}"):
        DataFiles(str(folder / "m.onnx")).bring_in(tensor, 32)
    assert not tensor.raw_data


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": 5},
        {"offset": 2**63},
        {"offset": -4},
        {"offset": "4 "},
        {"offset": "\N{ARABIC-INDIC DIGIT FOUR}"},
        {"offset": "9" * 10_000},
        {"length": 31},
        {"length": 2**64},
        {"length": ""},
        {"offset": 4, "length": 33},
    ],
)
def test_offsets_and_lengths_that_do_not_fit_are_refused(folder: Path, entries: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"offset .* and length .* in 'data' of 36 bytes, wanted 32 bytes inside it"):
        DataFiles(str(folder / "m.onnx")).bring_in(_tensor(location="data", **entries), 32)


@given(offset=st.integers(0, 60), size=st.integers(0, 60))
def test_only_bytes_inside_the_file_are_taken(tmp_path_factory: pytest.TempPathFactory, offset: int, size: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "data").write_bytes(bytes(range(40)))
    tensor = _tensor(location="data", offset=offset, length=size)
    try:
        DataFiles(str(folder / "m.onnx")).bring_in(tensor, size)
    except ModelError:
        assert offset + size > 40
    else:
        assert tensor.raw_data == bytes(range(40))[offset : offset + size]


def test_tensors_that_share_bytes_are_refused_before_they_need_more_memory_than_the_file(folder: Path) -> None:
    files = DataFiles(str(folder / "m.onnx"))
    files.bring_in(_tensor(location="data", offset=4), 32)
    with pytest.raises(ModelError, match="tensors share bytes of 'data', wanted bytes of its own; save the model as"):
        files.bring_in(_tensor(location="data", offset=0), 32)


@pytest.mark.parametrize("how", ["declared inside", "unknown entry"])
def test_descriptions_that_do_not_fit_are_refused(folder: Path, how: str) -> None:
    tensor = _tensor(location="data", offset=4, **({"basepath": "/"} if how == "unknown entry" else {}))
    if how == "declared inside":
        tensor.data_location = TensorProto.DEFAULT
    with pytest.raises(ModelError, match=r"described by .*location, offset, wanted location, offset, length"):
        DataFiles(str(folder / "m.onnx")).bring_in(tensor, 32)


def test_a_shape_of_gigabytes_is_refused_by_the_size_of_the_data_file(folder: Path) -> None:
    model = onnx.load(write_lstm(folder / "m.onnx"))
    tensor = _tensor(location="data")
    tensor.dims[:] = [2**40]
    model.graph.initializer.append(tensor)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="in 'data' of 36 bytes, wanted 4398046511104 bytes inside it"):
        Graph.load(folder / "m.onnx", data_files=DataFiles(str(folder / "m.onnx")))


def test_a_stream_takes_the_way_out_one_file(tmp_path: Path) -> None:
    path = write_lstm(tmp_path / "m.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    with pytest.raises(ModelError, match=r"`tidegate lift` reads; save the model as one file: onnx\.save\(onnx\.load"):
        load(path)
    onnx.save(onnx.load(path), path)
    assert load(path).contract.inputs[0].name == "x"
