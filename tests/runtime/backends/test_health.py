"""`health`: norms and saturation of the states, on both backends."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.nets import stacks
from tidegate.runtime.load import Backend, load
from tools.live import frames


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
def test_norms_and_saturation_are_those_of_the_state(backend: Backend, tmp_path: Path) -> None:
    stacks.save_model(stacks.random_layers(stacks.Case("small", 3, 4, 1)), tmp_path / "m.onnx")
    stream = load(tmp_path / "m.onnx", backend).stream()
    stream.push(frames(5))
    h, c = (np.array([[values]], np.float32) for values in ([0.5, -0.99, 1, 0], [3, -2.6, -30, 0]))

    stream.set_state({"lstm0.h_in": h, "lstm0.c_in": c})
    found = stream.health()

    assert found.frames == 5
    assert found.saturated == {"lstm0.h_in": 0.5, "lstm0.c_in": 0.5}  # tanh(2.6) is 0.989
    wanted = {"lstm0.h_in": np.sqrt(np.mean(h * h)), "lstm0.c_in": np.sqrt(np.mean(c * c))}
    assert found.norms == pytest.approx(wanted)
