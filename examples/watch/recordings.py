"""The smartwatch recordings of the PyPI package seglearn 1.2.5, read and split by subject.

The package ships the recordings as a pickled NumPy file. Unpickling a file runs any code that the file asks for.
So this module is the only place in the project that unpickles. It unpickles only one file, only if its SHA-256
equals `SHA256`, and from the same bytes that were hashed. seglearn itself is never imported, so scikit-learn and its
other requirements are not needed: `pip install --no-deps seglearn==1.2.5` is enough.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

PACKAGE = "seglearn==1.2.5"
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
INSTALL = f"pip install --no-deps --force-reinstall {PACKAGE}"

SAMPLE_RATE = 50
CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
CLASSES = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")

TRAIN_SUBJECTS = frozenset({1, 2, 3, 4, 5, 6})
CALIBRATION_SUBJECTS = frozenset({7})
TEST_SUBJECTS = frozenset({8, 9, 10})


class RecordingsError(Exception):
    """The recordings are missing, or they are not the recordings of this example."""


@dataclass(frozen=True)
class Recording:
    """One subject doing one exercise about twenty times, the watch on one wrist.

    Attributes:
        frames: `[frames, 6]` float32 at 50 Hz: accelerations ax ay az with gravity, turning rates
            wx wy wz. The package names no units. A wrist at rest measures about 1, so the unit is g;
            the turning rates fit rad/s.
        label: The exercise, an index into `CLASSES`.
        subject: Number of the subject, 1 to 10.
        side: The wrist that wears the watch.
    """

    frames: NDArray[np.float32]
    label: int
    subject: int
    side: Literal["left", "right"]

    @property
    def exercise(self) -> str:
        """Name of the exercise, one of `CLASSES`."""
        return CLASSES[self.label]


class Split(NamedTuple):
    """The recordings by use; no subject is in two of the lists."""

    train: list[Recording]
    calibrate: list[Recording]
    test: list[Recording]


def load() -> list[Recording]:
    """Return the 140 recordings in the order of the package's file.

    Raises:
        RecordingsError: seglearn is not installed, its data file is missing, or the file is another one.
    """
    data = _unpickle(_checked_bytes(_data_file()))
    rows = zip(data["X"], data["y"], data["subject"], data["side"], strict=True)
    return [_recording(*row) for row in rows]


def split(recordings: Iterable[Recording]) -> Split:
    """Split by subject: train on 1 to 6, calibrate on 7, test on 8 to 10."""
    everything = list(recordings)

    def of(subjects: frozenset[int]) -> list[Recording]:
        return [recording for recording in everything if recording.subject in subjects]

    return Split(of(TRAIN_SUBJECTS), of(CALIBRATION_SUBJECTS), of(TEST_SUBJECTS))


def _data_file() -> Path:
    """Locate the data file in the installed package without importing the package."""
    spec = find_spec("seglearn")
    if spec is None or spec.origin is None:
        raise RecordingsError(f"package seglearn: not installed, wanted {PACKAGE}; run: {INSTALL}")
    path = Path(spec.origin).parent / "data" / "watch_dataset.npy"
    if not path.is_file():
        raise RecordingsError(f"{path}: no such file, wanted the one of {PACKAGE}; run: {INSTALL}")
    return path


def _checked_bytes(path: Path) -> bytes:
    """Read a file whose SHA-256 is `SHA256`, and refuse any other."""
    content = path.read_bytes()
    seen = hashlib.sha256(content).hexdigest()
    if seen != SHA256:
        raise RecordingsError(
            f"{path}: SHA-256 is {seen}, wanted {SHA256}; "
            f"the file was not unpickled. To get the right one, run: {INSTALL}"
        )
    return content


def _unpickle(content: bytes) -> dict[str, Any]:
    """Unpickle bytes that `_checked_bytes` returned: the only unpickling in the project."""
    data: dict[str, Any] = np.load(io.BytesIO(content), allow_pickle=True).item()
    return data


def _recording(frames: NDArray[np.float64], label: int, subject: int, side: float) -> Recording:
    """Make a typed recording of one entry of the file; side is 0 for left and 1 for right."""
    return Recording(
        frames=frames.astype(np.float32, order="C"),
        label=int(label),
        subject=int(subject),
        side="right" if side else "left",
    )
