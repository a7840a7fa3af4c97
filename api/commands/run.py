"""`tidegate run`: a signal goes through a model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Backend, Chunk, File, Isa, check_target
from tidegate.runtime.errors import ChunkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidegate.runtime.arrays import Answer, Array
    from tidegate.runtime.streams import Stream

EXAMPLE = "sensor | tidegate run watch.int8.onnx | tee answers.csv"


def command(
    path: File,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", help="A .npy file, or text, a frame a line; - or none: standard input."),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write .npy or .csv; no lines are printed."),
    ] = None,
    chunk: Chunk = 1,
    answer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which output to write, where the model has several.")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="What executes the model.")] = Backend.native,
    isa: Isa = None,
) -> None:
    """Stream a signal through a model.

    Frames are lines of numbers separated by commas, or rows of a .npy file (frames, features). Answers are
    printed as such lines, each as soon as it is there.
    """
    from tidegate import load
    from tidegate.commands._signals import write_file, write_lines

    if output is not None:
        check_target(output, (".npy", ".csv"))
    stream = load(path, backend.value, isa=isa).stream()
    file = None if source is None or str(source) == "-" else source
    if file is None and sys.stdin.isatty():
        typer.echo("reading frames from the terminal, one a line, values separated by commas; Ctrl-D ends", err=True)
    answers = _answers(stream, file, chunk, answer)
    if output is None:
        write_lines(answers)
    else:
        write_file(output, answers)


def _answers(stream: "Stream", source: Path | None, chunk: int, name: str | None) -> "Iterator[Array]":
    """Push a signal chunk by chunk; a refusal names the place in the signal."""
    from tidegate.commands._signals import read_chunks

    for place, frames in read_chunks(source, chunk):
        try:
            answer = stream.push(frames)
        except ChunkError as error:
            raise ChunkError(f"{place}: {error}") from None
        if len(ready := _chosen(answer, name)):  # a model that looks ahead answers later
            yield ready
    rest = stream.finish()
    if rest is not None:
        yield _chosen(rest, name)


def _chosen(answer: "Answer", name: str | None) -> "Array":
    """Return the only output, or the one of a name."""
    if not isinstance(answer, dict):
        return answer
    if name not in answer:
        raise ChunkError(f"the model has outputs {', '.join(answer)}; choose one by --answer NAME")
    return answer[name]
