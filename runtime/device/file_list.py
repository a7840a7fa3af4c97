"""The list of the engine's files in a device folder: by it, files of an older model that a new one lacks are removed.

The folder's build takes every C file of the engine that is there. A file is removed only if the list names it, it is a
regular file, and it still has the bytes that were written. So a file that a user added or changed stays.
"""

import re
import stat
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from ..errors import DeviceError, ModelError
from ..files import flush_folder, make_folder, read_bytes, write_atomic

LIST = "tidegate/files.txt"
MOST_BYTES = 2**20  # of the list, and of a file in it
ENTRY = re.compile(r"([0-9a-f]{64})  ((?:src/)?tidegate(?:/\w+)+\.(?:c|h|inc))", re.ASCII)

Entries = frozenset[tuple[str, str]]  # hash and name


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which a file would be written through a link, to another place.

    Raises:
        DeviceError: A file, or a folder inside the folder, is a link.
    """
    for name in sorted(names):
        for place in _inside(folder, name):
            if place.is_symlink():
                raise DeviceError(
                    f"{place}: is a link, wanted a file or folder of its own; remove it, or give another folder"
                )


def write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all; folders that are not there are made."""
    for name, data in files.items():
        place = folder / name
        make_folder(place.parent)
        write_atomic(place, data)


def entries_of(files: Mapping[str, str]) -> Entries:
    """Return the entries of a list: those of the engine's files, by name and text."""
    named = ((sha256(text.encode()).hexdigest(), name) for name, text in files.items())
    return frozenset(entry for entry in named if ENTRY.fullmatch("  ".join(entry)))


def as_text(entries: Entries) -> str:
    """Return the text of a list."""
    return "".join(f"{digest}  {name}\n" for digest, name in sorted(entries, key=lambda entry: entry[::-1]))


def read_list(folder: Path) -> Entries:
    """Return the entries of a folder's list; none if there is no list. A line that is no entry is left out."""
    try:
        lines = read_bytes(folder / LIST, MOST_BYTES, links=False).decode(errors="replace").splitlines()
    except (FileNotFoundError, ModelError):
        return frozenset()
    found = (ENTRY.fullmatch(line) for line in lines)
    return frozenset((match[1], match[2]) for match in found if match)


def remove_old(folder: Path, entries: Entries, needed: Iterable[str]) -> None:
    """Remove the files of a list that are as they were written, except those that are needed.

    A power cut does not bring them back: the build would take them.
    """
    changed = set()
    for digest, name in entries - {entry for entry in entries if entry[1] in set(needed)}:
        if not any(place.is_symlink() for place in _inside(folder, name)) and _has(folder / name, digest):
            (folder / name).unlink()
            changed.add((folder / name).parent)
    for path in changed:
        flush_folder(path)


def _inside(folder: Path, name: str) -> list[Path]:
    """Return the places from a folder down to a file in it."""
    parts = Path(name).parts
    return [folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]


def _has(path: Path, digest: str) -> bool:
    """Return whether a path is a regular file with these bytes."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        return sha256(read_bytes(path, MOST_BYTES, links=False)).hexdigest() == digest
    except (FileNotFoundError, NotADirectoryError, ModelError):
        return False
