"""The made-up speaker is a vector of length 1."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import speaker


def test_the_vector_is_written(tmp_path: Path) -> None:
    subprocess.run([sys.executable, speaker.__file__, tmp_path / "dvec.npy"], check=True)
    found = np.load(tmp_path / "dvec.npy", allow_pickle=False)
    np.testing.assert_array_equal(found, speaker.vector())
    assert found.shape == (1, 256)
    np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-6)
