"""Raw numbers: bytes become rows, however the bytes were cut on their way."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...arrays import Array, Floats
from ...errors import ChunkError

TEXT = "text"
TYPES = {
    "u8": "u1", "s8": "i1", "s16le": "<i2", "s16be": ">i2", "s24le": "<i4", "s32le": "<i4", "s32be": ">i4",
    "f32le": "<f4", "f32be": ">f4", "f64le": "<f8",
}  # fmt: skip
FORMATS = (TEXT, *TYPES)
HALF = 128  # what u8 takes off


@dataclass(frozen=True)
class Form:
    """How numbers are written.

    Attributes:
        name: `text` (a row per line), or one of `TYPES`, which are ffmpeg's names of raw formats.
        channels: Values of a row of raw numbers.
        scale: What each number is multiplied with; None: integers become -1 to 1, other numbers stay.
    """

    name: str = TEXT
    channels: int = 1
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.name not in FORMATS:
            raise ChunkError(f"format {self.name!r} is unknown; wanted one of {', '.join(FORMATS)}")
        if self.channels < 1:
            raise ChunkError(f"{self.channels} channels; wanted 1 or more")

    @cached_property
    def width(self) -> int:
        """Bytes of one value."""
        return 3 if self.name == "s24le" else np.dtype(TYPES[self.name]).itemsize

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.channels

    @cached_property
    def factor(self) -> float:
        """What each number is multiplied with."""
        if self.scale is not None:
            return self.scale
        return 1.0 if self.name.startswith("f") or self.name == TEXT else 2.0 ** (1 - 8 * self.width)

    def rows(self, data: bytes) -> Floats:
        """Return whole rows of raw numbers, float32 `[rows, channels]`."""
        if self.name == "s24le":
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            values: Array = padded.view("<i4")[:, 0] >> 8
        else:
            values = np.frombuffer(data, TYPES[self.name])
        if self.name == "u8":
            values = values - np.float64(HALF)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by the stream
            made: Floats = np.multiply(values, self.factor, dtype=np.float64).astype(np.float32)
        return made.reshape(-1, self.channels)


class Decoder:
    """Turns bytes into rows; the bytes of half a row wait for the rest."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._left = b""

    def take(self, data: bytes) -> Floats:
        """Return the rows that are whole now."""
        data = self._left + data
        whole = len(data) - len(data) % self._form.row_bytes
        self._left = data[whole:]
        return self._form.rows(data[:whole])

    @property
    def left(self) -> int:
        """Bytes of a row that is not whole."""
        return len(self._left)
