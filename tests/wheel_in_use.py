"""Stream golden plans with the tidegate that is installed, and compare every bit: python tests/wheel_in_use.py.

It needs numpy and nothing else, so the release workflow runs it wherever a wheel is built.
"""

from pathlib import Path

import numpy as np
import tidegate

VECTORS = Path(__file__).resolve().parent / "vectors"
FEATURES = {"lstm_8_bits": 20, "lstm_16_bits": 20, "wide": 600}


def main() -> None:
    """Compare the answers with the stored ones.

    Raises:
        AssertionError: A bit differs.
    """
    for name, features in FEATURES.items():
        stream = tidegate.load(VECTORS / f"{name}.tide").stream()
        frames = np.fromfile(VECTORS / f"{name}.frames", "<f4").reshape(-1, features)
        seen = np.asarray(stream.push(frames)).ravel()
        stored = np.fromfile(VECTORS / f"{name}.answers", "<f4")[: seen.size]  # the states come after the answers
        np.testing.assert_array_equal(seen, stored, strict=True)
        print(f"{name}: {seen.size} answers equal")


if __name__ == "__main__":
    main()
