"""`tidegate run`: streams a signal through a model."""

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

EXAMPLE = (
    "tidegate run watch.int8.onnx recording.npy -o answers.npy\n"
    "  sensor | tidegate run watch.int8.onnx | tee answers.csv"
)


def command(
    path: File,
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUT", help="A .npy file or a text file; default: text from standard input, as with -."
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write all answers to a .npy or .csv file at the end."),
    ] = None,
    chunk: Chunk = 1,
    answer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The output to write, if the model has several.")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="The backend that runs the model.")] = Backend.native,
    isa: Isa = None,
) -> None:
    """Stream a signal through a model.

    The signal is a .npy array (frames, features), or text with one frame per line and commas between the values.
    Answers are printed as lines of the same kind, each as soon as it is there.
    """
    from tidegate import load
    from tidegate.commands._signals import write_file, write_lines

    if output is not None:
        check_target(output, (".npy", ".csv"))
    stream = load(path, backend.value, isa=isa).stream()
    file = None if source is None or str(source) == "-" else source
    if file is None and sys.stdin.isatty():
        typer.echo("type one frame per line, with commas between the values; Ctrl-D ends", err=True)
    answers = _answers(stream, file, chunk, answer)
    if output is None:
        write_lines(answers)
    else:
        write_file(output, answers)


def _answers(stream: "Stream", source: Path | None, chunk: int, name: str | None) -> "Iterator[Array]":
    """Push a signal chunk by chunk and give the answers; an error names the place in the signal."""
    from tidegate.commands._signals import read_chunks

    for place, frames in read_chunks(source, chunk):
        try:
            answer = stream.push(frames)
        except ChunkError as error:
            raise ChunkError(f"{place}: {error}") from None
        if len(ready := _chosen(answer, name)):  # with lookahead, answers come later
            yield ready
    rest = stream.finish()
    if rest is not None:
        yield _chosen(rest, name)


def _chosen(answer: "Answer", name: str | None) -> "Array":
    """Return the output of a name, or the only output."""
    if not isinstance(answer, dict):
        return answer
    if name not in answer:
        raise ChunkError(f"the model has outputs {', '.join(answer)}; choose one with --answer NAME")
    chosen: Array = answer[name]
    return chosen
