"""Arguments that several commands take, and their checks."""

import re
from collections.abc import Sequence
from enum import StrEnum
from errno import EISDIR, ENOENT
from pathlib import Path
from typing import Annotated

import typer

SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}

File = Annotated[Path, typer.Argument(metavar="FILE", help="A streaming ONNX file or a compiled plan.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Isa = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Force an instruction set of the engine, e.g. avx2."),
]
Chunk = Annotated[int, typer.Option("--chunk", min=1, metavar="N", help="Frames of a chunk.")]


class Backend(StrEnum):
    """What executes a model."""

    native = "native"
    onnxruntime = "onnxruntime"


def duration(text: str) -> float:
    """Return a time such as 10ms, 250us or 0.5s in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?(s|ms|us|)", text)
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is not a time; wanted e.g. 10ms, 250us or 0.5s")
    return float(match[1]) * SECONDS[match[2]]


def rate_of(rate: str | None, hop: str | None) -> float:
    """Return chunks a second from `100/s` or from the time between two; 0 where neither is given."""
    if rate is None:
        return 0.0 if hop is None else 1 / duration(hop)
    match = re.fullmatch(r"(\d+(?:\.\d*)?)(?:/s)?", rate)
    if hop is not None or match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"rate {rate!r}: wanted one of --rate 100/s and --hop 10ms")
    return float(match[1])


def check_target(path: Path, formats: Sequence[str] = ()) -> None:
    """Refuse before any work what could not be written after it."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "is a folder, wanted the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder; create it first", str(path.parent))
    if formats and path.suffix not in formats:
        raise typer.BadParameter(f"{path}: wanted a name that ends in {' or '.join(formats)}")
