"""What reading and writing of files say, and which calls of the system they make."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidegate.runtime import files
from tidegate.runtime.errors import ModelError
from tidegate.runtime.files import MAX_FILE_BYTES, flush_folder, is_device, make_folder, read_bytes, write_atomic


@pytest.fixture(autouse=True)
def _handles() -> Iterator[None]:
    """Each test leaves as many open files as there were."""
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  Path.iterdir would keep one more open
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the folders that are flushed, in their order."""
    seen: list[Path] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            seen.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    return seen


def refused(path: Path | str, said: str, kind: type[Exception] = ModelError, **more: bool) -> None:
    with pytest.raises(kind) as caught:
        read_bytes(path, 4, **more)
    assert str(caught.value) == f"{path}: {said}"


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"1234")
    assert read_bytes(tmp_path / "m", 4) == read_bytes(str(tmp_path / "m"), 4, links=False) == b"1234"
    (tmp_path / "m").write_bytes(b"12345")
    refused(tmp_path / "m", "5 bytes, at most 4 are read")
    (tmp_path / "m").write_bytes(b"")
    assert read_bytes(tmp_path / "m", 4) == b""
    assert MAX_FILE_BYTES == 2147483647


def test_what_is_no_file_is_refused_by_its_name(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such file", FileNotFoundError)
    refused(tmp_path / "none", "no such file", FileNotFoundError, links=False)
    refused(tmp_path, "not a regular file")
    refused(f"{tmp_path}/a\0b", "not the name of a file, which has no null byte")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")
    refused("/dev/null", "not a regular file")


def test_links_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"1234")
    (tmp_path / "soft").symlink_to("m")
    assert read_bytes(tmp_path / "soft", 4) == b"1234"
    refused(tmp_path / "soft", "is a link", links=False)
    (tmp_path / "hard").hardlink_to(tmp_path / "m")
    assert read_bytes(tmp_path / "hard", 4) == b"1234"
    refused(tmp_path / "hard", "is a link", links=False)


def test_a_link_that_comes_between_look_and_open_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m").write_bytes(b"1234")
    (tmp_path / "soft").symlink_to("m")
    monkeypatch.setattr(os, "lstat", os.stat)
    with pytest.raises(OSError, match="symbolic links"):
        read_bytes(tmp_path / "soft", 4, links=False)


def test_a_file_that_shrinks_gives_what_is_left_and_one_that_grows_what_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstat = os.fstat

    def grow(handle: int) -> os.stat_result:
        status = fstat(handle)
        with (tmp_path / "m").open("ab") as file:
            file.write(b"more")
        return status

    (tmp_path / "m").write_bytes(b"123")
    monkeypatch.setattr(os, "fstat", grow)
    assert read_bytes(tmp_path / "m", 4) == b"123"


def test_a_write_flushes_its_folder(tmp_path: Path, flushed: list[Path]) -> None:
    write_atomic(tmp_path / "m", b"new")
    write_atomic(str(tmp_path / "m"), b"newer")
    assert (tmp_path / "m").read_bytes() == b"newer"
    assert flushed == [tmp_path, tmp_path]


def test_a_folder_that_is_made_is_flushed_with_those_that_it_is_in(tmp_path: Path, flushed: list[Path]) -> None:
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    assert flushed == [tmp_path / "a/b", tmp_path / "a", tmp_path]
    flushed.clear()
    make_folder(tmp_path / "a/b/c")
    assert flushed == []
    make_folder(tmp_path / "a/d")
    assert flushed == [tmp_path / "a"]
    flushed.clear()
    flush_folder(tmp_path)
    assert flushed == [tmp_path]


def test_a_folder_that_cannot_be_flushed_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="broken"):
        flush_folder(tmp_path)


def test_devices_are_told_from_files(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    assert [is_device(path) for path in (tmp_path / "m", tmp_path / "none", tmp_path)] == [False] * 3
    assert [is_device(path) for path in (tmp_path / "pipe", "/dev/null")] == [True, True]


@pytest.mark.parametrize("kind", [stat.S_IFBLK, stat.S_IFSOCK])
def test_what_nothing_writes_to_is_refused(monkeypatch: pytest.MonkeyPatch, kind: int) -> None:
    monkeypatch.setattr(os, "stat", lambda _: os.stat_result((kind, *[0] * 9)))
    with pytest.raises(OSError, match=r"is a block device or a socket, wanted the name of a file: 'm'$") as caught:
        is_device("m")
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("number", [errno.ENXIO - 1, errno.ENXIO + 1, errno.ENOSPC])
def test_an_error_names_the_file_and_keeps_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "the reason", "a temporary name")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"the reason: '{tmp_path}/m'$") as caught:
        write_atomic(tmp_path / "m", b"new")
    assert caught.value.errno == number
    assert caught.value.__cause__ is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_without_a_number_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError("odd")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"^odd$") as caught:
        write_atomic(tmp_path / "m", b"new")
    assert caught.value is error


def test_the_temporary_file_is_hidden_and_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    fchmod = os.fchmod

    def look(handle: int, mode: int) -> None:
        seen.extend(path.name for path in tmp_path.iterdir())
        assert (tmp_path / seen[0]).read_bytes() == b"new"  # written and flushed out of Python before its mode is set
        fchmod(handle, mode)

    monkeypatch.setattr(os, "fchmod", look)
    write_atomic(tmp_path / "m", b"new")
    assert len(seen) == 1
    assert seen[0].startswith(".tidegate-")


@pytest.mark.parametrize(
    ("status", "mode"),
    [("Name:\tx\nUmask:\t0027\n", 0o640), ("Name:\tx\n", 0o644), ("Umask:\t0000\nUmask:\t0077\n", 0o666)],
)
def test_the_mode_of_a_new_file_is_what_the_umask_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, mode: int
) -> None:
    read_text = Path.read_text

    def fake(path: Path, *given: str) -> str:
        return status if str(path) == "/proc/self/status" else read_text(path, *given)

    monkeypatch.setattr(Path, "read_text", fake)
    write_atomic(tmp_path / "m", b"")
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == mode


def test_the_mode_of_an_old_file_stays_but_for_its_special_bits(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"old")
    (tmp_path / "m").chmod(0o4751)
    write_atomic(tmp_path / "m", b"new")
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o751


def test_where_the_system_has_no_such_flags_files_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_NONBLOCK")
    monkeypatch.delattr(os, "O_NOFOLLOW")
    (tmp_path / "m").write_bytes(b"1234")
    assert files.read_bytes(tmp_path / "m", 4, links=False) == b"1234"
