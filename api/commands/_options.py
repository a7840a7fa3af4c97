"""Arguments and options that several commands have, and their checks."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from errno import EISDIR, ENOENT
from pathlib import Path
from typing import Annotated

import typer
from tidegate.runtime.errors import ModelError, TidegateError
from tidegate.runtime.files import is_device, refuse_overwriting

MOST_HERTZ = 1e12
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}

File = Annotated[Path, typer.Argument(metavar="FILE", help="A streaming ONNX file or a compiled plan.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The file to write.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")]


def _known_isa(name: str | None) -> str | None:
    """Refuse an instruction set that this build does not have."""
    if name is None:
        return None
    from tidegate.runtime import _kernels

    if name not in (names := _kernels.variants(supported_only=False)):
        raise typer.BadParameter(f"instruction set {name!r} is not in this build, which has {', '.join(names)}")
    return name


def _possible_rate(rate: float | None) -> float | None:
    """Refuse a sample rate that no contract may have."""
    if rate is not None and not 0 < rate < MOST_HERTZ:
        raise typer.BadParameter(f"{rate:g} samples per second, wanted a number above 0, e.g. 16000")
    return rate


Isa = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=_known_isa,
        help="Instruction set of the engine, e.g. avx2; default: the best one here.",
    ),
]
Require = Annotated[
    Path | None,
    typer.Option(metavar="KEY.pub", help="Refuse a model that this key did not sign (docs/signatures.md)."),
]
Release = Annotated[
    int, typer.Option(min=0, metavar="N", help="With --require: refuse a signature of a release before this one.")
]
SampleRate = Annotated[
    float | None, typer.Option(metavar="HZ", callback=_possible_rate, help="Samples per second of the signal.")
]
Hop = Annotated[
    int | None, typer.Option(min=1, max=2**31 - 1, metavar="N", help="Samples from one frame to the next, e.g. 160.")
]
Block = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="For bidirectional layers: frames per block of the backward direction; default: the whole stream.",
    ),
]
Lookahead = Annotated[
    int, typer.Option(min=0, metavar="M", help="Frames after a block that its backward direction sees too.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="For bidirectional layers without --block: most frames of a stream; default: 4096."
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="E",
        help="Largest relative error allowed in the proof; default: 1e-5, or 32 times what float32 rounding changes.",
    ),
]
Static = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="An input that is set for each stream, if its shape does not show it: it has one frame. May be repeated.",
    ),
]
Chunk = Annotated[int, typer.Option("--chunk", min=1, metavar="N", help="Frames per chunk.")]


class Backend(StrEnum):
    """The backend that runs a model."""

    native = "native"
    onnxruntime = "onnxruntime"


@contextmanager
def usage() -> Iterator[None]:
    """Make an error about the values of options wrong usage, with exit status 2."""
    try:
        yield
    except TidegateError as error:
        raise typer.BadParameter(str(error)) from None


def pair(option: str, text: str) -> tuple[str, str]:
    """Return the name and the value of an option such as --set sr=16000.

    Raises:
        typer.BadParameter: The text has no name, no equals sign or no value.
    """
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise typer.BadParameter(f"{option} {text!r}: wanted NAME=VALUE")
    return name, value


def given(context: typer.Context) -> dict[str, str]:
    """Return the options on the command line: their names as typed, by the names of the parameters."""
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in options}
    return {name: options[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def counts(option: str, text: str, least: int = 1) -> list[int]:
    """Return the numbers of an option such as 1,4,16.

    Raises:
        typer.BadParameter: The text is not numbers of at least `least` with commas between them.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= least for part in parts):
        raise typer.BadParameter(f"{option} is {text!r}, wanted numbers from {least} with commas, e.g. 1,4,16")
    return [int(part) for part in parts]


def duration(text: str, option: str) -> float:
    """Return the seconds of a time such as 10ms, 250us or 0.5s.

    Args:
        text: The time. Its unit cannot be left out: `export --hop` counts samples.
        option: The option that it is from, for errors.

    Raises:
        typer.BadParameter: The text is not a positive time with a unit.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?(s|ms|us)", text)
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"{option} is {text!r}, wanted a time with its unit, e.g. 10ms, 250us or 0.5s")
    return float(match[1]) * SECONDS[match[2]]


def rate_of(rate: str | None, hop: str | None) -> float:
    """Return the chunks per second of --rate or --hop; 0 if neither is given.

    Args:
        rate: Chunks per second, such as `100/s`.
        hop: Time from one chunk to the next, such as `10ms`.

    Raises:
        typer.BadParameter: Both are given, or one is not a positive number.
    """
    if rate is None:
        return 0.0 if hop is None else 1 / duration(hop, "--hop")
    match = re.fullmatch(r"(\d+(?:\.\d*)?)(?:/s)?", rate)
    if hop is not None or match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"--rate is {rate!r}, --hop is {hop!r}: wanted --rate 100/s or --hop 10ms")
    return float(match[1])


def check_release(require: Path | None, release: int) -> None:
    """Refuse a release without a key, which would check nothing.

    Raises:
        typer.BadParameter: There is no key.
    """
    if release and require is None:
        raise typer.BadParameter("--release has no effect without --require KEY.pub")


def check_target(path: Path, formats: Sequence[str] = (), sources: Iterable[Path | str | None] = ()) -> None:
    """Refuse an output file that cannot be written, before any work is done.

    Args:
        path: The file to write.
        formats: The allowed endings of its name; empty allows any.
        sources: The files that the command reads, keys too: none is written over. None stands for no file.

    Raises:
        IsADirectoryError: The path is a folder.
        FileNotFoundError: The file's folder does not exist.
        OSError: The path is a block device or a socket.
        typer.BadParameter: The name has another ending, or is that of a source.
    """
    try:
        refuse_overwriting(path, *sources)
    except ModelError as error:
        raise typer.BadParameter(str(error)) from None
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "is a folder, wanted the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder; create it first", str(path.parent))
    is_device(path)
    if formats and path.suffix.lower() not in formats:
        raise typer.BadParameter(f"{path}: wanted a name that ends in {' or '.join(formats)}")


def check_targets(paths: Iterable[Path | None], sources: Iterable[Path | str | None] = ()) -> None:
    """Check the output files of one command as `check_target` does. None stands for no file.

    Raises:
        typer.BadParameter: Two of them are one file, which is no device: the second would replace the first.
    """
    read, places = tuple(sources), set()
    for path in paths:
        if path is None:
            continue
        check_target(path, sources=read)
        place = os.path.realpath(path)
        if place in places and not is_device(path):
            raise typer.BadParameter(f"{path}: two outputs would have this name; give each its own")
        places.add(place)
