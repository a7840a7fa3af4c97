"""`tidegate run`: streams a signal through a model."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Backend, Chunk, File, Isa, Release, Require, check_release, check_target, pair
from tidegate.runtime.errors import ChunkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidegate.runtime.arrays import Answer, Array
    from tidegate.runtime.contract import Contract, Piece, Port
    from tidegate.runtime.streams import Stream

EXAMPLE = (
    "tidegate run watch.int8.onnx recording.npy -o answers.npy\n"
    "  tidegate run amplifier.int8.onnx guitar.wav --chunk 64 -o answers.npy\n"
    "  sensor | tidegate run watch.int8.onnx | tee answers.csv\n"
    "  tidegate run echo.int8.onnx near_and_far.npz -o answers.npy\n"
    "  tidegate run filter.int8.onnx mix.npy --set speaker=vector.npy -o mask.npy"
)


def command(
    path: File,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A .npy, .npz, .csv, .wav or .flac file; default: standard input.",
            show_default=False,
        ),
    ] = Path("-"),
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write all answers to a .npy or .csv file at the end."),
    ] = None,
    chunk: Chunk = 1,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="INPUT=FILE", help="A static input, or another state to start from, .npy. May be repeated."
        ),
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="NAME", help="The output to write, if the model has several.")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="The backend that runs the model.")] = Backend.native,
    isa: Isa = None,
    require: Require = None,
    release: Release = 0,
) -> None:
    """Stream a signal through a model.

    The signal is frames x features, or token ids. Several signals are a .npz file whose arrays have their names, or
    columns side by side. Text has one frame per line, with commas, semicolons, tabs or blanks between the values; a
    first line of names is left out. A recording has one frame per sample and one feature per
    channel; its sample rate must be the model's.

    Answers are printed as text, each as soon as it is there.
    """
    from tidegate import load
    from tidegate.commands._answers import write_file, write_lines
    from tidegate.commands._signal_form import SignalForm
    from tidegate.commands._signals import read_array, read_chunks
    from tidegate.runtime.live.reading.opened import STANDARD_INPUT

    check_release(require, release)
    static = dict(map(partial(pair, "--set"), setting or ()))
    if output is not None:
        check_target(output, (".npy", ".csv"), (source, *static.values()))
    model = load(path, backend.value, isa=isa, require=require, release=release)
    port = _chosen(model.contract, answer)
    if source == STANDARD_INPUT and sys.stdin is not None and sys.stdin.isatty():
        typer.echo("type one frame per line, with commas between the values; Ctrl-D ends", err=True)
    values = {name: read_array(file) for name, file in static.items()}
    chunks = read_chunks(source, SignalForm.of(path), chunk)
    answers = _answers(model.stream(values), chunks, port, model.contract.pieces)
    if output is None:
        write_lines(answers)
    else:
        write_file(output, answers)


def _chosen(contract: "Contract", name: str | None) -> "Port":
    """Return the output of a name, or the only output."""
    ports = {port.name: port for port in contract.outputs}
    if name is None and len(ports) == 1:
        return contract.outputs[0]
    if name not in ports:
        outputs = f"output{'s' if len(ports) > 1 else ''} {', '.join(ports)}"
        seen = "" if name is None else f", not {name!r}"
        raise typer.BadParameter(f"the model has {outputs}{seen}; choose one with --answer NAME")
    return ports[name]


def _answers(
    stream: "Stream", chunks: "Iterator[tuple[str, Array]]", port: "Port", pieces: "Sequence[Piece]"
) -> "Iterator[Array]":
    """Push the chunks of a signal and give the answers `[answers, ...]`; an error names the place in the signal."""
    from tidegate.runtime.streams import apart

    for place, frames in chunks:
        try:
            answer = stream.push(apart(pieces, frames))
        except ChunkError as error:
            raise ChunkError(f"{place}: {error}") from None
        yield from _ready(answer, port)
    yield from _ready(stream.finish(), port)


def _ready(answer: "Answer | None", port: "Port") -> "Iterator[Array]":
    """Give the answers of one output if there are any: with lookahead, answers come later."""
    values = answer[port.name] if isinstance(answer, dict) else answer
    if values is not None and port.time_axis is not None:
        yield values
    elif values is not None and values.size:
        yield values[None]
