"""A disk that loses what was not flushed: the calls of a command, and what a power cut may leave of them.

The calls are recorded by strace. A power cut comes between any two of them, or after the last. On the disk is then:

- the bytes of a file that was flushed (`fsync`) after they were written. Of each other write all may be lost, or its
  second half, or nothing, each by itself, whatever came after it;
- the names of a folder that was flushed after they changed. Of other changes (made, renamed, removed) any may be lost,
  each by itself: more than journals of file systems lose, and what POSIX allows.
"""

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

CALLS = (
    "openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,"
    "linkat,symlink,symlinkat,ftruncate,truncate,fallocate,copy_file_range,sendfile,fchmod,close"
)
_LINE = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_TEXT = re.compile(r'"(?P<hex>(?:\\x[0-9a-f]{2})*)"')
MOST_LOST = 6  # changes that are on their way at a time; all of their subsets are tried


@dataclass(frozen=True)
class Change:
    """A call that changes the disk.

    Attributes:
        call: `make`, `folder`, `write`, `mode`, `flush`, `rename` or `remove`.
        file: The number of the file; of a flush of a folder its path.
        path: The name that changes; of a rename the new one.
        old: Of a rename, the old name.
        at: Of a write, the place of its first byte; of a mode, the mode.
        data: Of a write, its bytes.
    """

    call: str
    file: int | str
    path: str = ""
    old: str = ""
    at: int = 0
    data: bytes = b""


# ---- recording ----


def recorded(command: Iterable[str | Path], folder: Path, log: Path) -> list[Change]:
    """Run a command in a folder, and return the calls that change what is in the folder."""
    tracer = ["strace", "-xx", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run([*tracer, *map(str, command)], cwd=folder, check=True, capture_output=True)
    return list(changes(log.read_text().splitlines(), folder))


@dataclass
class _Reader:
    """The open files of a traced process."""

    folder: Path
    open: dict[int, int | str] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    files: int = 0

    def inside(self, name: str) -> str | None:
        """Return a name as a path from the folder; None: it is elsewhere."""
        path = (self.folder / name).resolve()
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else None

    def opened(self, name: str, flags: str, descriptor: int) -> Iterator[Change]:
        """Follow an opened file."""
        self.open.pop(descriptor, None)
        if (path := self.inside(name)) is None:
            return
        if "O_CREAT" in flags:
            assert "O_EXCL" in flags, f"{name} is written in its place"
            self.files += 1
            self.open[descriptor], self.ends[self.files] = self.files, 0
            yield Change("make", self.files, path)
        elif (self.folder / path).is_dir():
            self.open[descriptor] = path
        else:
            assert "O_RDONLY" in flags, f"{name} is written in its place"

    def written(self, descriptor: int, data: bytes) -> Iterator[Change]:
        """Follow a write to a file of the folder."""
        if isinstance(file := self.open.get(descriptor), int):
            yield Change("write", file, at=self.ends[file], data=data)
            self.ends[file] += len(data)


def changes(lines: Iterable[str], folder: Path) -> Iterator[Change]:
    """Yield the changes in a log of strace."""
    reader = _Reader(folder.resolve())
    for line in lines:
        found = _LINE.match(line)
        if found is None or found["result"].startswith("-"):
            continue
        call, arguments, result = found["call"], found["arguments"], int(found["result"])
        texts = [bytes.fromhex(text["hex"].replace("\\x", "")) for text in _TEXT.finditer(arguments)]
        names = [text.decode() for text in texts] if call not in ("write", "pwrite64", "writev") else []
        number = int(arguments.partition(",")[0]) if arguments[0].isdecimal() else -1
        if call == "openat":
            yield from reader.opened(names[0], arguments, result)
        elif call == "write":
            yield from reader.written(number, texts[0][:result])
        elif call == "close":
            reader.open.pop(number, None)
        elif call in ("fsync", "fdatasync", "fchmod"):
            if (file := reader.open.get(number)) is not None:
                mode = int(arguments.partition(",")[2], 8) if call == "fchmod" else 0
                yield Change("mode" if call == "fchmod" else "flush", file, at=mode)
        elif number >= 0:  # names in an open folder, or bytes in an open file
            assert number not in reader.open, f"{call} of an open file is not known here"
        elif any(reader.inside(name) is not None for name in names):
            yield _named(call, [str(reader.inside(name)) for name in names])


def _named(call: str, names: list[str]) -> Change:
    """Return a change of names."""
    if call in ("rename", "renameat", "renameat2"):
        return Change("rename", 0, names[1], names[0])
    kinds = {"unlink": "remove", "unlinkat": "remove", "mkdir": "folder", "mkdirat": "folder", "rmdir": "remove"}
    return Change(kinds[call], 0, names[0])  # a KeyError: a call that is not known here


# ---- power cuts ----


def power_cuts(done: list[Change], before: dict[str, bytes], *, last: bool = False) -> Iterator[dict[str, bytes]]:
    """Yield what may be on the disk after a power cut.

    Args:
        done: The calls of a command.
        before: The files that were there, which are on the disk, by their path in the folder.
        last: Whether the cut comes after the last call; else it comes at any time.
    """
    for end in [len(done)] if last else range(len(done) + 1):
        way = on_the_way(done[:end])
        assert len(way) <= MOST_LOST, way
        for outcomes in product(*(_outcomes(change) for change in way.values())):
            chosen = dict(zip(way, outcomes, strict=True))
            yield _disk([chosen.get(index, change) for index, change in enumerate(done[:end])], before)


def on_the_way(done: list[Change]) -> dict[int, Change]:
    """Return the changes that may be lost, by their number: no flush came after them."""
    way: dict[int, Change] = {}
    for index, change in enumerate(done):
        if change.call == "flush":
            way = {i: one for i, one in way.items() if not _flushes(change.file, one)}
        else:
            way[index] = change
    return way


def _flushes(flushed: int | str, change: Change) -> bool:
    """Return whether a flush of a file or folder brings a change to the disk."""
    if change.call in ("write", "mode"):
        return change.file == flushed
    return flushed in {Path(name).parent.as_posix() for name in (change.path, change.old) if name}


def _outcomes(change: Change) -> list[Change | None]:
    """Return what a power cut may leave of a change."""
    whole: list[Change | None] = [change, None]
    if change.call == "write":
        whole.append(replace(change, data=change.data[: len(change.data) // 2]))
    return whole


def _disk(kept: Iterable[Change | None], before: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files after these changes; a file whose folder is lost is lost."""
    names: dict[str, int | bytes] = dict(before)
    data: dict[int | str, bytearray] = {}
    folders = {Path(name).parent.as_posix() for name in before} | {"."}
    for change in kept:
        if change is None or change.call in ("flush", "mode"):
            continue
        if change.call == "make":
            names[change.path] = int(change.file)
        elif change.call == "write":
            content = data.setdefault(change.file, bytearray())
            content.extend(bytes(max(0, change.at - len(content))))
            content[change.at : change.at + len(change.data)] = change.data
        elif change.call == "folder":
            folders.add(change.path)
        elif change.call == "remove":
            names.pop(change.path, None)
        elif change.old in names:
            names[change.path] = names.pop(change.old)
    found = {path: value for path, value in names.items() if Path(path).parent.as_posix() in folders}
    return {path: value if isinstance(value, bytes) else bytes(data.get(value, b"")) for path, value in found.items()}


def files_of(folder: Path) -> dict[str, bytes]:
    """Return all files in a folder by their paths."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
