"""A C file in the form of rnn_data.c, of the test's own making: the module and the formula agree."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from rnnoise import FILE, Denoiser, matrix, read, reference

DENSE = {"input_dense": (42, 24), "denoise_output": (96, 22), "vad_output": (24, 1)}
GRUS = {"vad_gru": (24, 24), "noise_gru": (90, 48), "denoise_gru": (114, 96)}


def arrays() -> dict[str, int]:
    """Return the number of values of each array."""
    sizes = {f"{name}_weights": inputs * units for name, (inputs, units) in DENSE.items()}
    sizes |= {f"{name}_bias": units for name, (_, units) in DENSE.items()}
    for name, (inputs, units) in GRUS.items():
        sizes |= {f"{name}_weights": 3 * inputs * units, f"{name}_recurrent_weights": 3 * units**2}
        sizes[f"{name}_bias"] = 3 * units
    return sizes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    random, parts = np.random.default_rng(0), []
    for name, count in arrays().items():
        numbers = ",\n   ".join(map(str, random.integers(-60, 60, count)))
        parts.append(f"static const rnn_weight {name}[{count}] = {{\n   {numbers}\n}};\n")
    FILE.write_text('#include "rnn.h"\n' + "\n".join(parts))


def test_the_module_equals_the_formula() -> None:
    (stream,) = reference()
    with torch.no_grad():
        seen = Denoiser()(torch.from_numpy(stream.frames[:50])[None])[0]
    assert stream.answers.shape == (1000, 23)
    np.testing.assert_allclose(seen, stream.answers[:50], atol=1e-4)


def test_arrays_are_scaled_and_matrices_turned() -> None:
    FILE.write_text(
        "static const rnn_weight a_weights[4] = {\n 1, -2,\n 3, 4\n};\nstatic const rnn_weight a_bias[2] = {\n 0, 0};"
    )
    np.testing.assert_array_equal(256 * matrix(read(), "a_weights", "a_bias"), [[1, 3], [-2, 4]])


def test_other_files_are_refused() -> None:
    FILE.write_text("static const rnn_weight a[3] = {1, 2};")
    with pytest.raises(ValueError, match="a has 2 values, wanted 3"):
        read()
    FILE.write_text("static const float a[3] = {1, 2, 3};")
    with pytest.raises(ValueError, match="no array of rnn_weight"):
        read()
