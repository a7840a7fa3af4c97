"""The picture of the states: its texts name states, layers, bits and bytes, and it is the same at every run."""

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
import tidegate
from tidegate.commands._state_picture import draw, save
from tidegate.runtime.errors import BackendError
from tidegate.runtime.inspection import Inspection, inspect_file
from tools import foreign_files

pytest.importorskip("matplotlib")


@pytest.fixture
def facts(tmp_path: Path) -> Inspection:
    """Return the facts about a lifted and quantized stack of two layers."""
    onnx.save(foreign_files.with_states([("h", "hn"), ("c", "cn")]), tmp_path / "vendor.onnx")
    tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "float.onnx", sample_rate=100)
    tidegate.quantize(tmp_path / "float.onnx", tmp_path / "m.onnx")
    return inspect_file(tmp_path / "m.onnx")


def _texts(path: Path) -> list[str]:
    root = ET.fromstring(path.read_text())  # noqa: S314  our own file
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_it_names_states_layers_bits_and_bytes(facts: Inspection, tmp_path: Path) -> None:
    save(facts, tmp_path / "m.svg")
    texts = _texts(tmp_path / "m.svg")
    for text in ("h: h[0]", "c: c[0]", "h: h[1]", "h: hn[0]", "c: cn[1]", "input 'x', frames of 5", "output 'y'"):
        assert text in texts
    assert "LSTM 5 to 6, 8-bit weights" in texts
    assert texts.count("to the next push") == 2
    assert any(text.endswith("264 products per step") for text in texts)
    assert any("a frame every 10 ms" in text for text in texts)


def test_it_is_the_same_at_every_run(facts: Inspection, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        save(facts, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_lines_to_the_next_push_are_dashed_and_arrows_of_a_push_are_not(facts: Inspection) -> None:
    (axes,) = draw(facts).axes
    loops = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert len(loops) == len(facts.layers)
    ends = [np.asarray(line.get_xdata(), float)[[0, -1]] for line in loops]
    assert all(start > end for start, end in ends), (
        "a loop goes from the state after a push, at the right, to the state before it"
    )


def test_states_of_no_layer_have_a_row(tmp_path: Path) -> None:
    onnx.save(foreign_files.one_frame(batch=1), tmp_path / "foreign.onnx")
    tidegate.lift(tmp_path / "foreign.onnx", tmp_path / "m.onnx", frame=3, context=2)
    save(inspect_file(tmp_path / "m.onnx"), tmp_path / "m.svg")
    texts = _texts(tmp_path / "m.svg")
    assert "frame.context_in" in texts


def test_a_refusal_is_shown(facts: Inspection, tmp_path: Path) -> None:
    save(replace(facts, refusal="a reason"), tmp_path / "m.svg")
    assert "not on the engine: a reason" in _texts(tmp_path / "m.svg")


def test_a_file_without_a_contract_says_that_nothing_is_carried(tmp_path: Path) -> None:
    onnx.save(foreign_files.keras(), tmp_path / "m.onnx")
    save(inspect_file(tmp_path / "m.onnx"), tmp_path / "m.svg")
    texts = _texts(tmp_path / "m.svg")
    assert "zeros at each push:" in texts
    assert "to the next push" not in texts


def test_without_matplotlib_the_package_is_named(facts: Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BackendError, match="matplotlib is not installed; a picture needs it: pip install matplotlib"):
        draw(facts)


def test_a_plan_has_a_picture_too(facts: Inspection, tmp_path: Path) -> None:
    tidegate.compile_model(facts.path, tmp_path / "m.tide")
    save(inspect_file(tmp_path / "m.tide"), tmp_path / "m.png")
    assert np.frombuffer((tmp_path / "m.png").read_bytes()[:8], np.uint8).tolist()[:4] == [137, 80, 78, 71]
