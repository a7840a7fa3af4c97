"""The microphone as a source. No Python runs in the audio callback: PortAudio fills a buffer of its own, in C."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ...errors import BackendError
from .bytes_of_rows import Note, quiet
from .source import Block


class Microphone:
    """Samples of an input device, float32 from -1 to 1.

    Args:
        device: A part of the device's name, or its number; empty: the default.
        rate: Samples per second; None: what the device has.
        channels: Channels to record.
        note: Takes what is odd.

    Raises:
        BackendError: sounddevice or PortAudio is not installed.
        OSError: There is no such device, or it has no such rate.
    """

    waits, comes = False, True

    def __init__(self, device: str, rate: float | None, channels: int = 1, note: Note = quiet) -> None:
        try:
            import sounddevice
        except ImportError:
            raise BackendError("a microphone needs sounddevice; pip install 'tidegate[live]'") from None
        except OSError:
            raise BackendError(
                "a microphone needs the PortAudio library; on Debian and Ubuntu: apt install libportaudio2"
            ) from None
        self.name, self._note, self._closed = f"mic:{device}" if device else "mic", note, False
        self._error = sounddevice.PortAudioError
        chosen = int(device) if device.isdecimal() else device or None
        try:
            self._stream: Any = sounddevice.InputStream(rate, device=chosen, channels=channels, dtype="float32")
        except (self._error, ValueError) as error:
            raise OSError(f"{self.name}: cannot be opened: {_one_line(error)}") from None
        self.rate: float | None = float(self._stream.samplerate)

    def blocks(self, rows: int) -> Iterator[Block]:
        """Give the samples in order; see `Source.blocks`. An overflow is a gap, as long as the device's clock says."""
        at = 0
        try:
            self._stream.start()
            start = self._stream.time
            while not self._closed:
                samples, overflowed = self._stream.read(rows)
                if overflowed:
                    at += self._lost(start, at + len(samples))
                yield Block(at, samples.copy())
                at += len(samples)
        except self._error as error:
            if not self._closed:
                raise OSError(f"{self.name}: is gone: {_one_line(error)}") from None

    def close(self) -> None:
        """Stop recording."""
        self._closed = True
        with suppress(self._error):  # the device is gone already
            self._stream.abort()
            self._stream.close()

    def _lost(self, start: float, read: int) -> int:
        """Return how many samples the device dropped, by its clock."""
        heard = float(self._stream.time - start) * (self.rate or 0.0)
        lost = max(round(heard) - read - int(self._stream.read_available), 1)
        self._note("the microphone overflowed", f"{self.name}: about {lost} samples were lost before they were read")
        return lost


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
