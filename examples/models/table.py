"""The table of the gallery, models.toml: for each model where it is from, what is run, and what answers it has."""

import re
import tomllib
from collections import Counter
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("models.toml")
PINNED = re.compile(r"https://\S*/([0-9a-f]{40}|\d+\.\d+(\.\d+)*)(/\S*)?")  # a commit, or the version of a package
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class File:
    """A file that a user fetches.

    Attributes:
        name: Its name in the folder `files`.
        link: Where it is from, pinned to a commit or the version of a package.
        sha256: The hash of its bytes.
        fetch: The commands that fetch it; none: curl with the link.
    """

    name: str
    link: str
    sha256: str
    fetch: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that fetch the file."""
        return self.fetch or (f"curl -L --create-dirs -o files/{self.name} {self.link}",)


@dataclass(frozen=True)
class Model:
    """A model of the gallery.

    Attributes:
        name: Its page's name.
        title: Its name for people.
        task: What it is for: the group in the overview.
        about: What the net is.
        frame: What a frame is, and what the answer to it is.
        owner: Who made it.
        licence: The name of its licence.
        licence_link: The text of the licence, pinned like a file.
        take: The command that makes the streaming file, without `tidegate` and `-o`.
        reference: Module and function that give the signal and the original's answers, e.g. `nam:reference`.
        answers: How the original's answers were made, e.g. `recorded by its authors`.
        file: The files.
        options: Keywords of the reference.
        made: A further file, made on the user's machine; empty: none is needed.
        making: The command that makes it.
        sample_rate: Samples per second; 0: the input has no rate.
        hop: Samples from one frame to the next.
        chunk: Frames per push when the time is measured.
        codes: Whether the weights are codes of 8 bits as they come, so that nothing is left to quantize.
        note: Sentences for the end of the page.
    """

    name: str
    title: str
    task: str
    about: str
    frame: str
    owner: str
    licence: str
    licence_link: str
    take: str
    reference: str
    answers: str
    file: tuple[File, ...]
    options: dict[str, Any] = field(default_factory=dict)
    made: str = ""
    making: str = ""
    sample_rate: float = 0
    hop: int = 1
    chunk: int = 1
    codes: bool = False
    note: str = ""

    @property
    def streaming(self) -> str:
        """The streaming file, from the folder of the gallery."""
        return self.quantized if self.codes else f"files/{self.name}.stream.onnx"

    @property
    def quantized(self) -> str:
        """The quantized file."""
        return f"files/{self.name}.int8.onnx"

    @property
    def timed(self) -> str:
        """The file of the measured times."""
        return f"files/{self.name}.bench.json"

    @property
    def needed(self) -> list[str]:
        """The names of the files that the three commands need."""
        return [*(file.name for file in self.file), *filter(None, [self.made])]

    @property
    def fetching(self) -> list[str]:
        """The commands that fetch the files, and the one that makes a further file."""
        return [*(command for file in self.file for command in file.commands), *filter(None, [self.making])]

    @property
    def commands(self) -> list[str]:
        """The three commands: a streaming file, a quantized one, and its time; two for a file of codes."""
        chunk = f" --chunk {self.chunk}" if self.chunk > 1 else ""
        quantize = [] if self.codes else [f"tidegate quantize {self.streaming} -o {self.quantized}"]
        return [
            f"tidegate {self.take} -o {self.streaming}",
            *quantize,
            f"tidegate bench {self.quantized} --closed --peers none --seconds 1{chunk} --json {self.timed}",
        ]


class TableError(Exception):
    """The table of models is not as it must be; the message says where."""


def read(path: Path = TABLE) -> list[Model]:
    """Return the models of the table, in its order.

    Raises:
        TableError: A model lacks an entry or has an unknown one, a name is there twice, a link is not pinned, or a hash
            is not one.
    """
    models = [_model(entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["model"]]
    twice = [name for name, count in Counter(model.name for model in models).items() if count > 1]
    if twice:
        raise TableError(f"{path.name}: {', '.join(twice)}: there twice, wanted one entry a name")
    return models


def _model(entry: dict[str, Any]) -> Model:
    where = f"model {entry.get('name', 'without a name')}"
    files = tuple(_file(where, part) for part in entry.get("file", []))
    _check_keys(where, entry, Model)
    model = Model(**entry | {"file": files})
    _check_link(f"{where}: licence_link", model.licence_link)
    return model


def _file(where: str, entry: dict[str, Any]) -> File:
    where = f"{where}: file {entry.get('name', 'without a name')}"
    _check_keys(where, entry, File)
    file = File(**entry | {"fetch": tuple(entry.get("fetch", ()))})
    _check_link(f"{where}: link", file.link)
    if not SHA256.fullmatch(file.sha256):
        raise TableError(f"{where}: sha256 {file.sha256!r}, wanted 64 hexadecimal digits")
    return file


def _check_keys(where: str, entry: dict[str, Any], kind: type) -> None:
    known = fields(kind)
    needed = {item.name for item in known if item.default is MISSING and item.default_factory is MISSING}
    odd, missing = sorted(entry.keys() - {item.name for item in known}), sorted(needed - entry.keys())
    if odd or missing:
        raise TableError(f"{where}: unknown {odd or 'none'}, missing {missing or 'none'}")


def _check_link(where: str, link: str) -> None:
    if not PINNED.fullmatch(link):
        raise TableError(f"{where} {link!r}: wanted https:// with a commit of 40 digits or a version")
