"""Serial lines, by pyserial, over socat's pseudo terminals."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import tidegate
from tidegate.runtime.errors import BackendError
from tidegate.runtime.live.sources.pcm import Form
from tidegate.runtime.live.sources.serial_line import SerialLine
from tools.live import frames, small_model

MODEL = small_model()
X = frames(50)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Path, Path, "subprocess.Popen[bytes]"]]:
    """Join two pseudo terminals: what is written to the first is read from the second."""
    if shutil.which("socat") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("socat is not installed")
    ends = tmp_path / "a", tmp_path / "b"
    command = ["socat", *(f"pty,rawer,link={end}" for end in ends)]
    with subprocess.Popen(command) as process:
        while not all(end.exists() for end in ends):
            assert process.poll() is None
        yield *ends, process
        process.terminate()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what is set when a line was opened: pyserial throws away what came before."""
    serial, event = pytest.importorskip("serial"), threading.Event()

    class Opened(serial.Serial):  # type: ignore[misc, name-defined]
        def open(self) -> None:
            super().open()
            event.set()

    monkeypatch.setattr(serial, "Serial", Opened)
    return event


def write(wire: BinaryIO, data: bytes, opened: threading.Event) -> None:
    """Write to a line that was opened."""
    assert opened.wait(60)
    wire.write(data)


def test_lines_of_a_device_are_answered_from_the_first_whole_one(
    line: tuple[Path, Path, "subprocess.Popen[bytes]"], opened: threading.Event
) -> None:
    device, ours, process = line
    text = "2\n" + "".join(",".join(map(repr, row)) + "\n" for row in X.tolist())  # "2" is the rest of a line
    notes: list[str] = []
    running = tidegate.live(MODEL, f"serial:{ours}?baud=9600", gap="hold", note=lambda kind, _: notes.append(kind))
    with device.open("wb", buffering=0) as wire, running:
        writer = threading.Thread(target=write, args=(wire, text.encode(), opened))
        writer.start()
        found = [next(running) for _ in X]
        writer.join()
        process.terminate()
        with pytest.raises(OSError, match=r"device|Input/output"):  # it is gone
            next(running)

    assert np.array_equal(np.concatenate([answer.values for answer in found]), MODEL.stream().push(X))
    assert notes == []


def test_raw_numbers_come_as_soon_as_they_are_whole(
    line: tuple[Path, Path, "subprocess.Popen[bytes]"], opened: threading.Event
) -> None:
    device, ours, _ = line
    source = SerialLine(str(ours), 115200, Form("s16le", 3, 1))
    blocks = source.blocks(100)
    with device.open("wb", buffering=0) as wire:
        for count in range(5):
            data = np.full(3, count, "<i2").tobytes()
            threading.Thread(target=write, args=(wire, data, opened)).start()
            assert next(blocks).rows.tolist() == [[count] * 3]
    source.close()


def test_a_device_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(OSError, match=r"serial:/dev/nothing: cannot be opened: .*No such file"):
        list(SerialLine("/dev/nothing", 9600, Form()).blocks(1))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)

    with pytest.raises(BackendError, match=r"a serial line needs pyserial; pip install 'tidegate\[live\]'"):
        SerialLine("/dev/ttyS0", 9600, Form())
