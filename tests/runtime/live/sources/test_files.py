"""Files as sources give the numbers that are in them, in blocks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.sources.files import File
from tools.live import frames


def write(path: Path, rows: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".csv":
        np.savetxt(path, rows, delimiter=",", fmt="%.9g")
    else:
        soundfile.write(path, rows, 8000, subtype="PCM_16")


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.wav", "x.flac"])
@pytest.mark.parametrize("size", [1, 30, 1000])
def test_blocks_are_the_rows_of_the_file(name: str, size: int, tmp_path: Path) -> None:
    rows = np.round(np.clip(frames(100, 2) / 5, -1, 0.99) * 2**15) / 2**15
    write(tmp_path / name, rows)

    source = File(tmp_path / name)
    found = list(source.blocks(size))
    source.close()

    assert np.array_equal(np.concatenate([block.rows for block in found if len(block.rows)]), rows)
    assert [block.at for block in found] == list(range(0, 100, size))
    assert source.rate == (8000 if name in ("x.wav", "x.flac") else None)


def test_a_recording_says_its_own_rate(tmp_path: Path) -> None:
    write(tmp_path / "x.wav", frames(10))

    with pytest.raises(ChunkError, match=r"x.wav: has 8000 samples per second, not 16000; leave the rate out"):
        File(tmp_path / "x.wav", 16000)
    assert File(tmp_path / "x.wav").rate == 8000


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.wav", b"RIFF\x10\x10\x00\x00WAVE", "its header states 4120 bytes, the file holds 12"),
        ("x.flac", b"fLaC" + bytes(50), "not a recording that can be read"),
        ("x.npy", b"\x93NUMPY", "not a .npy file of numbers"),
        ("x.npz", b"PK\x03\x04", "holds several arrays; give one as .npy, with the signals side by side"),
        ("x.csv", b"1,2\nno,\n", "x.csv, line 2: 'no' is not a number"),
    ],
)
def test_damaged_files_are_refused_by_name(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)

    with pytest.raises(ChunkError, match=message):
        list(File(tmp_path / name).blocks(4))
