"""Snapshots of one model as those of another: only where the layout of the state is the same."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.quant import quantize
from tidegate.runtime.errors import SnapshotError
from tidegate.runtime.load import load
from tidegate.runtime.streams import Model
from tools.onnx_files import write_lstm
from tools.serving import signal, small_plan


def pair(folder: Path, backend: str) -> tuple[Model, Model]:
    """A float model and its int8 one."""
    quantize(write_lstm(folder / "m.onnx"), folder / "m.int8.onnx")
    float_, int8 = (load(folder / name, backend) for name in ("m.onnx", "m.int8.onnx"))  # type: ignore[arg-type]
    return float_, int8


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_another_model_goes_on_from_the_state_and_the_count(tmp_path: Path, backend: str) -> None:
    old, new = pair(tmp_path, backend)
    assert old.layout == new.layout
    first, second, wanted = old.stream(), new.stream(), new.stream()
    first.push(signal(9))
    wanted.set_state(first.state())
    with pytest.raises(SnapshotError, match=r"snapshot: model is .*restore it there"):
        second.restore(first.snapshot())
    second.restore(new.adopt(first.snapshot(), old.layout))

    assert second.frames == 9
    np.testing.assert_array_equal(second.push(signal(5, 2)), wanted.push(signal(5, 2)))


def test_the_layout_names_each_state_in_its_order(tmp_path: Path) -> None:
    model = load(write_lstm(tmp_path / "m.onnx"))
    assert model.layout == "lstm.h_in[0]:8 lstm.c_in[0]:8"
    with pytest.raises(SnapshotError, match="a model that looks ahead, which no other model goes on from; start anew"):
        model.adopt(model.stream().snapshot(), "looks ahead")


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_a_snapshot_of_another_layout_or_with_damage_is_refused(tmp_path: Path, backend: str) -> None:
    old, new = pair(tmp_path, backend)
    wide = load(write_lstm(tmp_path / "w.onnx", hidden=9), backend)  # type: ignore[arg-type]
    saved = old.stream().snapshot()
    with pytest.raises(SnapshotError, match=r"layout of its state is .*, wanted .*; restore it to a model of the same"):
        wide.adopt(saved, old.layout)
    for damaged in (saved[:-1], saved[:60], b"", saved + b"\0", saved[:120] + b"\1" + saved[121:]):
        with pytest.raises(SnapshotError, match="hash is not that of its bytes; it is damaged, take it again"):
            new.adopt(damaged, old.layout)
    with pytest.raises(SnapshotError, match="snapshot: magic is"):
        new.stream().restore(new.adopt(b"X" + saved[1:], old.layout))


def test_a_wrong_word_for_the_layout_is_found_by_the_size(tmp_path: Path) -> None:
    """Whoever says that a snapshot has this layout is not believed about its size."""
    new, wide = load(small_plan()), load(write_lstm(tmp_path / "w.onnx"))
    with pytest.raises(SnapshotError, match="snapshot: size is"):
        new.stream().restore(new.adopt(wide.stream().snapshot(), new.layout))
