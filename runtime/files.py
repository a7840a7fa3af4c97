"""Files are read at once, and written under another name in the same folder, then renamed."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path  # its import is slow

MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit


def read_bytes(path: str | os.PathLike[str], limit: int, *, links: bool = True) -> bytes:
    """Read a file of at most `limit` bytes into memory. Later changes to the file have no effect.

    Args:
        path: The file.
        limit: The largest size, in bytes.
        links: Whether the file may be a symbolic link, or have other hard links.

    Raises:
        ModelError: It is not a regular file, is a link, or is larger than the limit.
        FileNotFoundError: There is no such file.
    """
    if "\0" in os.fspath(path):
        raise ModelError(f"{os.fspath(path)}: not the name of a file, which has no null byte")
    try:
        opener = _open_now if links else _open_itself
        file = open(path, "rb", opener=opener)  # noqa: SIM115  closed below; Path.open has no opener
    except FileNotFoundError:
        raise FileNotFoundError(f"{os.fspath(path)}: no such file") from None
    except IsADirectoryError:
        raise ModelError(f"{os.fspath(path)}: not a regular file") from None
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{os.fspath(path)}: not a regular file")
        if status.st_nlink > 1 and not links:
            raise ModelError(f"{os.fspath(path)}: is a link")
        if status.st_size > limit:
            raise ModelError(f"{os.fspath(path)}: {status.st_size} bytes, at most {limit} are read")
        return file.read(status.st_size)


def _open_now(path: str, flags: int) -> int:
    """Open a file without waiting; a pipe would wait for its writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _open_itself(path: str, flags: int) -> int:
    """Open a file that is no symbolic link."""
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise ModelError(f"{path}: is a link")
    return _open_now(path, flags | getattr(os, "O_NOFOLLOW", 0))


def refuse_overwriting(path: str | os.PathLike[str], *sources: str | os.PathLike[str] | None) -> None:
    """Refuse to write over a file that was read, under another name or through a link too.

    Args:
        path: The file to write.
        sources: The files that were read, or will be; None, or what is no file, stands for none.

    Raises:
        ModelError: The file to write is one of them.
    """
    from pathlib import Path  # its import is slow

    target = Path(path)
    if target.is_file() and any(one and Path(one).exists() and target.samefile(one) for one in sources):
        raise ModelError(f"{target}: is a file to read, and may be needed again; give the output another name")


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that after a crash the old or the new file is there, never a part of one.

    An old file's mode stays. A link stays: the file that it names is written. A character device or a pipe stays too,
    and the data goes into it.

    Raises:
        OSError: The file cannot be written; the error names `path`, never the temporary file.
    """
    with _naming(path):
        if is_device(path):
            _write_into(path, data)
        else:
            _replace(os.path.realpath(path), data)


def is_device(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a character device or a pipe, which no file may replace.

    Raises:
        OSError: It names a block device or a socket, which nothing here writes to.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  the import of pathlib is slow
    except FileNotFoundError:
        return False
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(errno.EINVAL, "is a block device or a socket, wanted the name of a file", os.fspath(path))
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an error of the system name the file that was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        nobody = "is a pipe that no program reads; start its reader first"
        text = nobody if error.errno == errno.ENXIO else error.strerror
        raise OSError(error.errno, text, os.fspath(path)) from None


def _write_into(path: str | os.PathLike[str], data: bytes) -> None:
    with open(path, "wb", opener=_open_now) as file:
        os.set_blocking(file.fileno(), True)
        file.write(data)


def _replace(target: str, data: bytes) -> None:
    import tempfile  # these imports are slow, and a device only reads
    from pathlib import Path

    folder = Path(target).parent
    handle, name = tempfile.mkstemp(dir=folder, prefix=".tidegate-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if hasattr(os, "fchmod"):  # Windows' files have no mode
                os.fchmod(file.fileno(), _mode(target))
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108  where memory is at an end, a Path may not be made
        raise
    flush_folder(folder)


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Bring the names in a folder to the disk: before that, a power cut undoes what was made, renamed or removed."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folder: there its file system alone decides when
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def make_folder(folder: "Path") -> None:
    """Make a folder, and those that it is in, so that a power cut does not undo it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_folder(path.parent)


def _mode(target: str) -> int:
    """Return the mode of the old file, or that of any new one."""
    try:
        return os.stat(target).st_mode & 0o777  # noqa: PTH116
    except FileNotFoundError:
        return 0o666 & ~_umask()


def _umask() -> int:
    """Return the umask of the process without changing it (os.umask would change it for all threads)."""
    from pathlib import Path

    status = Path("/proc/self/status")
    lines = status.read_text("ascii", "replace").splitlines() if status.exists() else []
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o022)
