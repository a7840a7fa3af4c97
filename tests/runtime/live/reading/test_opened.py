"""Files and pipes are opened by the kind that their name or their first bytes say."""

from pathlib import Path

import pytest
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.reading.opened import TEXT, opened


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.npy", b"no array", ".npy"),
        ("a.WAV", b"", ".wav"),
        ("a", b"RIFF1234", ".wav"),
        ("a.bin", b"\x93NUMPY", ".npy"),
        ("a.csv", b"1,2\n", TEXT),
        ("a", b"", TEXT),
    ],
)
def test_the_kind_is_that_of_the_ending_or_of_the_first_bytes(
    name: str, data: bytes, kind: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)

    with opened(tmp_path / name) as found:
        assert (found.name, found.kind, found.file.read()) == (str(tmp_path / name), kind, data)


def test_a_folder_named_as_an_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()

    with pytest.raises(ChunkError, match=r"a.npy: not a regular file, wanted a signal"), opened(tmp_path / "a.npy"):
        pass
