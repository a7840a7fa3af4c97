"""A .nam file of the test's own making: the module and the formula give the same answers."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from nam import FILE, Amplifier, read, reference


def write(path: Path, layers: int = 2, units: int = 3, *, extra: int = 0, architecture: str = "LSTM") -> None:
    """Write a .nam file with random weights."""
    path.parent.mkdir(exist_ok=True)
    counts = [4 * units * ((units if layer else 1) + units) + 6 * units for layer in range(layers)]
    values = np.random.default_rng(0).normal(0, 0.5, sum(counts) + units + 1 + extra).tolist()
    config = {"input_size": 1, "hidden_size": units, "num_layers": layers}
    path.write_text(json.dumps({"architecture": architecture, "config": config, "weights": values}))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_module_equals_the_formula_from_the_file_s_own_start() -> None:
    write(FILE)
    (stream,) = reference()
    with torch.no_grad():
        seen = Amplifier()(torch.from_numpy(np.array([stream.frames] * 2)))
    for row in seen.numpy():
        np.testing.assert_allclose(row, stream.answers, atol=1e-5)
    assert stream.answers.shape == (12000, 1)


def test_weights_are_read_in_their_order() -> None:
    write(FILE, layers=1)
    values = np.array(json.loads(FILE.read_text())["weights"])
    (layer,), head, bias = read(FILE)
    both = values[: 12 * 4].reshape(12, 4)
    np.testing.assert_array_equal(layer.w, both[:, :1])
    np.testing.assert_array_equal(layer.r, both[:, 1:])
    np.testing.assert_array_equal([*layer.b, *layer.h, *layer.c, *head, bias], values[48:])


def test_other_files_are_refused() -> None:
    write(FILE, architecture="WaveNet")
    with pytest.raises(ValueError, match="architecture 'WaveNet', wanted 'LSTM'"):
        read(FILE)
    write(FILE, extra=2)
    with pytest.raises(ValueError, match="6 weights for the head, wanted 4"):
        read(FILE)
