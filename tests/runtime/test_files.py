"""Files are written whole or not at all, and only regular files within the limit are read."""

import errno
import os
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from tidegate.quant import quantize
from tidegate.runtime.errors import ModelError, PlanError
from tidegate.runtime.files import is_device, read_bytes, refuse_overwriting, write_atomic
from tidegate.runtime.load import compile_model, load
from tools.onnx_files import write_lstm


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("data", [b"", b"new", bytes(3_000_000)])
def test_file_is_written_and_replaced(tmp_path: Path, data: bytes) -> None:
    target = tmp_path / "m.onnx"
    for old in (None, b"old and longer"):
        if old is not None:
            target.write_bytes(old)
        write_atomic(target, data)
        assert target.read_bytes() == data
        assert names(tmp_path) == ["m.onnx"]


def test_text_path_in_the_current_folder_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomic("m.onnx", b"new")
    assert (tmp_path / "m.onnx").read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError("disk is full"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    """A full disk, an interrupt or another failure before the rename."""
    target = tmp_path / "m.onnx"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        assert len(names(tmp_path)) == 2  # the new file is next to the old one
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["m.onnx"]


def test_failed_rename_leaves_no_temporary_file(tmp_path: Path) -> None:
    """A folder has the name of the file."""
    (tmp_path / "m.onnx").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomic(tmp_path / "m.onnx", b"new")
    assert names(tmp_path) == ["m.onnx"]


def test_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "m.onnx", b"new")


SLOW_WRITER = """
import os, sys, time
from tidegate.runtime import files
def wait(_):
    print("writing", flush=True)
    time.sleep(60)
files.os.fsync = wait
files.write_atomic(sys.argv[1], bytes(100_000))
"""


def test_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    """A process that is killed in the middle cannot tidy up, but the file under its name is still whole."""
    target = tmp_path / "m.onnx"
    target.write_bytes(b"old")
    with subprocess.Popen([sys.executable, "-c", SLOW_WRITER, target], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()
    assert target.read_bytes() == b"old"


KILLED_ANYWHERE = """
import os, pathlib, signal, sys, tempfile  # pathlib and tempfile: else each child imports them, in thousands of calls
from tidegate.runtime import files
target, old, new = sys.argv[1], b"old" * 1000, b"new" * 2000
def write_until(call):
    seen = 0
    def count(frame, event, argument):
        nonlocal seen
        if event == "c_call":
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(count)
    files.write_atomic(target, new)
    sys.setprofile(None)
killed = {old: 0, new: 0}
for call in range(1, 10_000):
    with open(target, "wb") as file:
        file.write(old)
    child = os.fork()
    if child == 0:
        write_until(call)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    with open(target, "rb") as file:
        killed[file.read()] += 1  # a KeyError: neither the old file nor the new one
    if status == 0:
        break
    assert os.WIFSIGNALED(status), status
print(killed[old], killed[new])
"""


def test_row_25_writer_killed_at_any_system_call_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """A child is killed before its first, second, ... call into C, each of which may be a system call."""
    target = tmp_path / "m.onnx"
    done = subprocess.run([sys.executable, "-c", KILLED_ANYWHERE, target], capture_output=True, text=True, check=True)
    with_old, with_new = map(int, done.stdout.split())
    print(f"killed at {with_old + with_new - 1} places: {with_old} times the old file, {with_new} times the new one")
    assert with_old > 10
    assert with_new >= 2  # after the rename, and not killed at all


def test_file_and_folder_are_flushed_to_the_disk_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut could leave a name without content."""
    seen: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        seen.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_atomic(tmp_path / "m.onnx", b"new")
    assert seen == ["file", "rename", "folder"]


def test_where_files_have_no_mode_and_folders_are_not_opened_a_file_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows."""
    monkeypatch.delattr(os, "fchmod")
    monkeypatch.delattr(os, "O_DIRECTORY")
    (tmp_path / "m.onnx").write_bytes(b"old")
    write_atomic(tmp_path / "m.onnx", b"new")
    assert (tmp_path / "m.onnx").read_bytes() == b"new"
    assert names(tmp_path) == ["m.onnx"]


def test_row_20_file_that_is_cut_or_changed_after_loading_changes_nothing(tmp_path: Path) -> None:
    """The file was read into memory: with a mapping, a truncation could crash the process."""
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    for name in ("m.tide", "m.int8.onnx"):
        frames = np.ones((5, 6), np.float32)
        model = load(tmp_path / name)
        wanted = model.stream().push(frames)
        (tmp_path / name).write_bytes(b"")
        np.testing.assert_array_equal(model.stream().push(frames), wanted)
        with pytest.raises(ModelError):
            load(tmp_path / name)


def test_file_that_is_cut_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    fstat = os.fstat

    def cut_first(handle: int) -> os.stat_result:
        status = fstat(handle)
        os.truncate(tmp_path / "m.tide", status.st_size // 2)
        return status

    monkeypatch.setattr(os, "fstat", cut_first)
    with pytest.raises(PlanError, match="size is"):
        load(tmp_path / "m.tide")


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_mode_is_that_of_any_new_file(tmp_path: Path, umask: int, expected: int) -> None:
    """Temporary files are private, but the final file must not be."""
    code = (
        f"import os, sys; os.umask({umask}); from tidegate.runtime.files import write_atomic as w; w(sys.argv[1], b'')"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.onnx"], check=True)
    assert mode(tmp_path / "m.onnx") == expected


def test_umask_is_not_changed_on_the_way(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "m.onnx", b"")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_usual_umask_is_taken_where_the_system_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems have no /proc."""
    monkeypatch.setattr(Path, "exists", lambda _: False)
    write_atomic(tmp_path / "m.onnx", b"")
    assert mode(tmp_path / "m.onnx") == 0o644


def test_file_of_the_limit_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"12345678")
    assert read_bytes(tmp_path / "m.onnx", 8) == b"12345678"
    with pytest.raises(ModelError, match="8 bytes, at most 7 are read"):
        read_bytes(tmp_path / "m.onnx", 7)


def test_file_over_the_limit_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file of 4 GB costs no memory."""
    from tidegate.runtime.load import load

    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(2**32)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file is read"))
    with pytest.raises(ModelError, match="4294967296 bytes, at most 2147483647 are read"):
        load(tmp_path / "m.onnx")


def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="not a regular file"):
        read_bytes(tmp_path / "m.onnx", 100)


# ---- what may be in place of the output ----


def read_all(path: Path, found: list[bytes]) -> None:
    found.append(path.read_bytes())


def test_row_25_pipe_stays_a_pipe_and_its_reader_gets_the_bytes(tmp_path: Path) -> None:
    pipe, data = tmp_path / "m.onnx", bytes(range(256)) * 1000  # more than a pipe holds
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR)  # from here on the pipe has a reader
    found: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(pipe, found))
    reader.start()
    write_atomic(pipe, data)
    os.close(holder)
    reader.join()
    assert found == [data]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["m.onnx"]


def test_pipe_without_a_reader_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(OSError, match=r"is a pipe that no program reads; start its reader first: .*m.onnx"):
        write_atomic(tmp_path / "m.onnx", b"new")
    assert stat.S_ISFIFO((tmp_path / "m.onnx").stat().st_mode)


@pytest.mark.parametrize("link", [False, True])
def test_device_stays_a_device(tmp_path: Path, link: bool) -> None:
    """The terminal of a pseudo-terminal is a device that needs no rights."""
    ours, theirs = os.openpty()
    device = Path(os.ttyname(theirs))
    target = tmp_path / "m.onnx" if link else device
    if link:
        target.symlink_to(device)
    write_atomic(target, b"new")
    assert os.read(ours, 3) == b"new"
    assert stat.S_ISCHR(device.stat().st_mode)
    assert names(tmp_path) == (["m.onnx"] if link else [])
    os.close(ours)
    os.close(theirs)


def test_full_device_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: .*m.onnx") as caught:
        write_atomic(tmp_path / "m.onnx", b"new")
    assert caught.value.errno == errno.ENOSPC


def test_socket_is_refused_by_name_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("m.onnx")
        for call in (is_device, lambda path: write_atomic(path, b"new")):
            with pytest.raises(OSError, match=r"is a block device or a socket, wanted the name of a file: 'm.onnx'"):
                call("m.onnx")
        assert stat.S_ISSOCK(Path("m.onnx").stat().st_mode)


@pytest.mark.parametrize("old", [b"old", None])
def test_link_stays_and_the_file_that_it_names_is_written(tmp_path: Path, old: bytes | None) -> None:
    (tmp_path / "versions").mkdir()
    (tmp_path / "m.onnx").symlink_to("versions/7.onnx")
    if old is not None:
        (tmp_path / "versions/7.onnx").write_bytes(old)
    write_atomic(tmp_path / "m.onnx", b"new")
    assert (tmp_path / "m.onnx").readlink() == Path("versions/7.onnx")
    assert (tmp_path / "versions/7.onnx").read_bytes() == b"new"
    assert names(tmp_path / "versions") == ["7.onnx"]


def test_link_to_itself_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").symlink_to("m.onnx")
    with pytest.raises(OSError, match=r"symbolic links: .*m.onnx"):
        write_atomic(tmp_path / "m.onnx", b"new")
    assert (tmp_path / "m.onnx").is_symlink()


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o755])
def test_mode_of_the_old_file_stays(tmp_path: Path, kept: int) -> None:
    (tmp_path / "m.onnx").write_bytes(b"old")
    (tmp_path / "m.onnx").chmod(kept)
    write_atomic(tmp_path / "m.onnx", b"new")
    assert mode(tmp_path / "m.onnx") == kept


@pytest.mark.parametrize("length", [240, 255])
def test_longest_names_are_written(tmp_path: Path, length: int) -> None:
    name = "m" * length
    write_atomic(tmp_path / name, b"new")
    assert names(tmp_path) == [name]


def test_name_that_is_too_long_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"File name too long: .*{'m' * 256}"):
        write_atomic(tmp_path / ("m" * 256), b"new")


def test_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*/m.onnx'$"):
        write_atomic(tmp_path / "m.onnx", b"new")
    assert names(tmp_path) == []


def test_a_system_without_the_calls_of_unix_exports_loads_and_streams(tmp_path: Path) -> None:
    """What Windows lacks is taken away: calls of os, and modules. It has no folders that can be opened either."""
    write_lstm(tmp_path / "m.onnx", 2, 3)
    script = """
        import os, stat, sys
        for name in ("fchmod", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "fork", "set_blocking", "getuid"):
            delattr(os, name)
        for name in ("fcntl", "resource", "termios", "pwd", "grp"):
            sys.modules[name] = None
        opened = os.open
        def no_folder(path, flags, *more, **options):
            if os.path.isdir(path) and not options:
                raise PermissionError(13, "a folder", path)
            return opened(path, flags, *more, **options)
        os.open = no_folder
        import numpy as np, tidegate
        tidegate.quantize("m.onnx", "q.onnx")
        tidegate.compile_model("q.onnx", "q.tide")
        print(tidegate.load("q.tide").stream().push(np.zeros((4, 2), np.float32)).shape)
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == ["m.onnx", "q.onnx", "q.tide"]


def test_row_164_a_file_that_is_read_is_not_written_through_a_link_either(tmp_path: Path) -> None:
    (tmp_path / "read").touch()
    (tmp_path / "link").symlink_to(tmp_path / "read")
    refuse_overwriting(tmp_path / "new", tmp_path / "read", None, tmp_path / "none")
    with pytest.raises(
        ModelError, match="link: is a file to read, and may be needed again; give the output another name"
    ):
        refuse_overwriting(tmp_path / "link", None, tmp_path / "read")
