"""A serial line as a source."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from ...errors import BackendError
from .bytes_of_rows import Note, blocks_of, quiet
from .pcm import TEXT, Form
from .source import Block

PATIENCE = 0.2  # seconds after which a read looks whether it was stopped


class SerialLine:
    """Raw numbers or lines from a serial line, e.g. of a microcontroller. The rest of a line under way is left out.

    Args:
        device: The device, e.g. `/dev/ttyACM0` or `COM3`.
        baud: Bits per second.
        form: How the numbers are written.
        rate: Rows per second.
        note: Takes what is odd.

    Raises:
        BackendError: pyserial is not installed.
    """

    waits, comes = False, True

    def __init__(self, device: str, baud: int, form: Form, rate: float | None = None, note: Note = quiet) -> None:
        try:
            import serial
        except ImportError:
            raise BackendError("a serial line needs pyserial; pip install 'tidegate[live]'") from None
        self.name, self.rate, self._form, self._note = f"serial:{device}", rate, form, note
        self._open: Callable[[], Any] = lambda: serial.Serial(device, baud, timeout=PATIENCE)
        self._line: _Line | None = None
        self._closed = False

    def blocks(self, rows: int) -> Iterator[Block]:
        """Open the line and give its rows in order; see `Source.blocks`."""
        try:
            self._line = _Line(self._open())
        except OSError as error:
            raise OSError(f"{self.name}: cannot be opened: {error}") from None
        with self._line, io.BufferedReader(self._line) as file:
            if self._form.name == TEXT:
                file.readline()
            yield from blocks_of(file, self._form, rows, self.name, self._note, strict=False)

    def close(self) -> None:
        """Close the line."""
        self._closed = True
        if self._line is not None:
            self._line.stopped = True


class _Line(io.RawIOBase):
    """Bytes of a line as soon as there are some: pyserial's own `readinto` waits until the buffer is full."""

    def __init__(self, port: Any) -> None:  # noqa: ANN401  pyserial has no types
        self._port, self.stopped = port, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a buffer of bytes
        data = b""
        while not data and not self.stopped:
            data = self._port.read(min(len(buffer), max(self._port.in_waiting, 1)))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        with suppress(OSError):  # the device is gone already
            self._port.close()
        super().close()
