"""JSON files in the form of RTNeural, of the test's own making: the layers compute as Keras defines them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from cells import Doubles, gru, lstm
from rtneural import Net, reference

UNITS, RANDOM = 3, np.random.default_rng(0)


def weights(*shapes: tuple[int, ...]) -> list[Doubles]:
    return [RANDOM.normal(0, 0.5, shape) for shape in shapes]


def layer(kind: str, values: list[Doubles], function: str = "") -> dict[str, Any]:
    shape = [None, None, len(values[0][0]) if kind == "dense" else UNITS]
    return {"type": kind, "activation": function, "shape": shape, "weights": [value.tolist() for value in values]}


def answers(folder: Path, layers: list[dict[str, Any]], x: Doubles) -> Doubles:
    path = folder / "net.json"
    path.write_text(json.dumps({"in_shape": [None, None, x.shape[1]], "layers": layers}))
    with torch.no_grad():
        return np.asarray(Net(path).double()(torch.from_numpy(x)[None])[0])


def test_dense_layers(tmp_path: Path) -> None:
    x, (w, b, v, c) = RANDOM.normal(0, 1, (5, 2)), weights((2, 4), (4,), (4, 1), (1,))
    seen = answers(tmp_path, [layer("dense", [w, b], "tanh"), layer("dense", [v, c])], x)
    np.testing.assert_allclose(seen, np.tanh(x @ w + b) @ v + c, rtol=1e-6)


def test_an_lstm_has_torch_s_order(tmp_path: Path) -> None:
    x, (w, r, b) = RANDOM.normal(0, 1, (5, 2)), weights((2, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,))
    zeros = np.zeros(UNITS)
    seen = answers(tmp_path, [layer("lstm", [w, r, b], "tanh")], x)
    np.testing.assert_allclose(seen, lstm(x, w.T, r.T, b, h=zeros, c=zeros), rtol=1e-5)


def test_a_gru_has_the_update_gate_first(tmp_path: Path) -> None:
    x, (w, r, b) = RANDOM.normal(0, 1, (5, 2)), weights((2, 3 * UNITS), (UNITS, 3 * UNITS), (2, 3 * UNITS))
    order = np.concatenate([np.arange(UNITS, 2 * UNITS), np.arange(UNITS), np.arange(2 * UNITS, 3 * UNITS)])
    w_t, r_t, b_t = w[:, order].T, r[:, order].T, b[:, order]
    seen = answers(tmp_path, [layer("gru", [w, r, b], "tanh")], x)
    np.testing.assert_allclose(seen, gru(x, w_t, r_t, b_t[0], b_t[1], h=np.zeros(UNITS)), rtol=1e-5)


def test_other_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layer 'conv1d' with function '': wanted dense, lstm or gru"):
        answers(tmp_path, [layer("conv1d", weights((2, 4)))], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="function 'elu'"):
        answers(tmp_path, [layer("dense", weights((2, 4), (4,)), "elu")], np.zeros((1, 2)))


def test_the_recorded_answers_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    for kind, text in (("x", "1\n2\n"), ("y", "0.5\n-3e-1\n")):
        (tmp_path / "files" / f"net_{kind}.csv").write_text(text)
    (stream,) = reference("net")
    assert stream.frames.dtype == np.float32
    np.testing.assert_array_equal(stream.frames, [[1], [2]])
    np.testing.assert_array_equal(stream.answers, [[0.5], [-0.3]])
