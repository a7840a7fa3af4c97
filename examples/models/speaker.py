"""A made-up speaker for VoiceFilter-Lite: `python speaker.py files/dvec.npy` writes a vector `[1, 256]` of length 1."""

import sys
from pathlib import Path

import numpy as np
from cells import Floats

WIDTH = 256


def vector() -> Floats:
    """Return the vector, the same at every call."""
    made = np.random.default_rng(0).standard_normal((1, WIDTH))
    return (made / np.linalg.norm(made)).astype(np.float32)


if __name__ == "__main__":
    np.save(Path(sys.argv[1]), vector())
