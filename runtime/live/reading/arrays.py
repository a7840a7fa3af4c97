"""Arrays from the bytes of .npy and .npz files and of recordings. Every size is checked before it is used."""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from ...arrays import Array, Floats
from ...errors import ChunkError

LONGEST_HEADER = 1024  # bytes of a .npy header; NumPy writes 128
MOST_ENTRIES = 2**40  # along one axis, also of an array without numbers
# An array of zeros is packed 1000 times smaller. So a file may expand to either of these sizes, not to both.
FREE_BYTES = 2**28
MOST_EXPANSION = 8
BLOCK = 2**16  # samples
UNKNOWN = 2**62  # libsndfile gives a number above it for a recording whose header states no length
MOST_STATED = 2**31 - 2**16  # bytes; recorders that do not know the length of a .wav file state 2^31 or 2^32 - 1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those of NumPy
# numpy.lib.format raises each of these for a header that it cannot read.
HEADER_ERRORS = (
    ValueError, TypeError, EOFError, RuntimeError, OverflowError, SyntaxError, tokenize.TokenError,
)  # fmt: skip


def array_pieces(file: BinaryIO, size: int, name: str, rows: int = 0) -> Iterator[Array]:
    """Give the array of a .npy file in pieces along its first axis. Pickled objects are refused.

    Args:
        file: The file, at its start.
        size: Its size in bytes.
        name: Its name, for errors.
        rows: Entries of a piece along the first axis. 0: one piece, the whole array.

    Raises:
        ChunkError: It is not a .npy file, its header states another size than it has, or it became shorter.
    """
    try:
        shape, fortran, dtype = _header(file)
    except HEADER_ERRORS:
        raise ChunkError(f"{name}: not a .npy file of numbers, or a damaged one") from None
    except MemoryError:  # Python raises it for a header that is nested too deep as well
        raise ChunkError(f"{name}: a damaged .npy file, or there is no memory to read its header") from None
    stated, left = math.prod(shape) * dtype.itemsize, size - file.tell()
    if stated != left:
        raise ChunkError(f"{name}: its header states {stated} bytes of numbers, the file holds {left}")
    pieces = [shape]
    if rows and shape and not fortran:
        pieces = [(min(rows, shape[0] - at), *shape[1:]) for at in range(0, shape[0], rows)]
    for piece in pieces:
        data = file.read(math.prod(piece) * dtype.itemsize)
        if len(data) != math.prod(piece) * dtype.itemsize:
            raise ChunkError(f"{name}: became shorter while it was read")
        yield np.frombuffer(data, dtype).reshape(piece, order="F" if fortran else "C")


def array_of(data: bytes, name: str) -> Array:
    """Return the array of a .npy file.

    Args:
        data: The bytes of the file.
        name: Its name, for errors.

    Raises:
        ChunkError: As `array_pieces` does.
    """
    return next(array_pieces(io.BytesIO(data), len(data), name))


def arrays_of(data: bytes, name: str) -> Iterator[tuple[str, Array]]:
    """Give the names and arrays of a .npz file in the order of the names. Pickled objects are refused.

    Args:
        data: The bytes of the file.
        name: Its name, for errors.

    Raises:
        ChunkError: It is not a .npz file, is encrypted or packed by a method that NumPy does not use, or an array is
            damaged or expands too far.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                where = f"{name}: {entry.filename}"
                _check_entry(entry, where)
                yield entry.filename.removesuffix(".npy"), array_of(archive.read(entry), where)
    except (ValueError, EOFError, RuntimeError, NotImplementedError, OSError, zlib.error, zipfile.BadZipFile) as error:
        if isinstance(error, ChunkError):
            raise
        raise ChunkError(f"{name}: not a .npz file of numbers, or a damaged one") from None


def recording_of(data: bytes, name: str) -> tuple[Floats, int]:
    """Return the samples of a .wav or .flac file, float32 `[samples, channels]`, and the samples per second.

    Args:
        data: The bytes of the file.
        name: Its name, for errors.

    Raises:
        ChunkError: soundfile is not installed or cannot read it, or it expands too far.
    """
    rate, pieces = recording_blocks(io.BytesIO(data), len(data), name)
    blocks, size = [], 0
    for block in pieces(BLOCK):
        blocks.append(block)
        size += block.nbytes
        _check_expansion(name, size, len(data))
    return np.concatenate(blocks), rate


def recording_blocks(file: BinaryIO, total: int, name: str) -> tuple[int, Callable[[int], Iterator[Floats]]]:
    """Return the samples per second of a .wav or .flac file, and a function that gives its samples in blocks.

    Args:
        file: The file, at its start; it must stay open.
        total: Its size in bytes.
        name: Its name, for errors.

    Returns:
        The function takes the samples of a block, and gives float32 `[samples, channels]`; the last block may be
        shorter, or empty.

    Raises:
        ChunkError: soundfile is not installed or cannot read it, or it ends before its header says.
    """
    try:
        import soundfile
    except ImportError:
        raise ChunkError(f"{name}: recordings need soundfile; pip install 'tidegate[audio]'") from None
    _check_riff(file.read(8), total, name)
    file.seek(0)
    try:
        opened = soundfile.SoundFile(file)
    except soundfile.SoundFileError as error:
        raise _unreadable(name, error) from None

    def blocks(samples: int) -> Iterator[Floats]:
        count = 0
        try:
            while len(block := opened.read(samples, dtype="float32", always_2d=True)) or not count:
                count += len(block)
                yield block
                if not len(block):
                    break
        except soundfile.SoundFileError as error:
            raise _unreadable(name, error) from None
        if count < opened.frames < UNKNOWN:
            raise ChunkError(f"{name}: its header states {opened.frames} samples, the file holds {count}")

    return int(opened.samplerate), blocks


def _unreadable(name: str, error: Exception) -> ChunkError:
    return ChunkError(f"{name}: not a recording that can be read ({getattr(error, 'error_string', error)})")


def _check_riff(head: bytes, size: int, name: str) -> None:
    """Refuse a .wav file that was cut: libsndfile reads what is left. Recorders that write to a pipe state no size."""
    stated = int.from_bytes(head[4:8], "little") + 8
    if head.startswith(b"RIFF") and size < stated < MOST_STATED:
        raise ChunkError(f"{name}: its header states {stated} bytes, the file holds {size}")


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Read the header of a .npy file: the shape, whether the first axis varies fastest, and the type."""
    head = io.BytesIO(file.read(LONGEST_HEADER))  # its own length is not trusted
    read = npy.read_array_header_1_0 if npy.read_magic(head) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(head)
    if dtype.hasobject or dtype.itemsize == 0 or not all(0 <= size < MOST_ENTRIES for size in shape):
        raise ValueError("not numbers")
    file.seek(head.tell())
    return shape, fortran, dtype


def _check_entry(entry: zipfile.ZipInfo, where: str) -> None:
    """Refuse an entry of an archive that cannot be opened, or expands too far, before it is opened."""
    if entry.flag_bits & 1:
        raise ChunkError(f"{where} is encrypted; save it without a password")
    if entry.compress_type not in METHODS:
        raise ChunkError(f"{where} is packed by method {entry.compress_type}; save it with numpy.savez")
    if entry.compress_type == zipfile.ZIP_DEFLATED:
        _check_expansion(where, entry.file_size, entry.compress_size)


def _check_expansion(where: str, size: int, packed: int) -> None:
    if size > max(FREE_BYTES, MOST_EXPANSION * packed):
        raise ChunkError(
            f"{where}: expands from {packed} to {size} bytes or more; wanted at most {FREE_BYTES} or "
            f"{MOST_EXPANSION} times as many; save it uncompressed"
        )
