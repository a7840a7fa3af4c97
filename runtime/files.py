"""Files are read whole and written whole: beside, then renamed."""

import os
import tempfile
from pathlib import Path

from .errors import ModelError

MAX_FILE_BYTES = 2**31 - 1  # protobuf's own limit


def read_bytes(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises:
        ModelError: It is not a regular file or is larger than the limit.
        FileNotFoundError: There is no such file.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file")
    if not source.is_file():
        raise ModelError(f"{source}: not a regular file")
    size = source.stat().st_size
    if size > limit:
        raise ModelError(f"{source}: {size} bytes, at most {limit} are read")
    return source.read_bytes()


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _umask() -> int:
    """Return the process's umask without changing it (os.umask would, for all threads)."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), 0o022)
