"""The `tidegate` command: each subcommand parses, calls and prints; what is heavy is imported inside."""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from errno import EISDIR, ENOENT
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tidegate import __version__
from tidegate.runtime.errors import ChunkError, TidegateError

if TYPE_CHECKING:
    from tidegate.runtime.arrays import Array
    from tidegate.runtime.model import Stream

TRACEBACK_VARIABLE = "TIDEGATE_TRACEBACK"
SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}

app = typer.Typer(
    name="tidegate",
    help="Export, quantize and stream recurrent neural networks on small devices.",
    epilog="\b\nExample:\n  tidegate quantize kws.onnx -o kws.int8.onnx\n  tidegate bench kws.int8.onnx",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: narrower, and the same in a pipe
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


class Rival(StrEnum):
    """What the engine is measured against."""

    onnxruntime = "onnxruntime"
    none = "none"


class Form(StrEnum):
    """How a plan is written."""

    plan = "plan"
    c = "c"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="\b\nExample:\n  tidegate export model:recognizer --weights watch.safetensors \\\n"
    "    --example 1x20x6 --sample-rate 50 --hop 1 -o watch.onnx"
)
def export(
    factory: Annotated[str, typer.Argument(metavar="PACKAGE.MODULE:FACTORY", help="What makes the torch.nn.Module.")],
    example: Annotated[str, typer.Option(metavar="SIZES", help="Shape of one input as the module takes it: 1x20x6.")],
    output: Output,
    *,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its state_dict: .safetensors, .pt, .pth or .bin.")
    ] = None,
    sample_rate: Annotated[float | None, typer.Option(metavar="HZ", help="Samples a second of the signal.")] = None,
    hop: Annotated[int | None, typer.Option(metavar="N", help="Samples that a frame advances.")] = None,
    tolerance: Annotated[float, typer.Option(help="Largest relative error allowed in the proof.")] = 1e-5,
    as_json: Json = False,
) -> None:
    """Export a PyTorch module as streaming ONNX.

    The file is written only after it has proved equal to the module: whole, in chunks, at other lengths.
    """
    from tidegate.export import example_from_shape, export_model, load_module

    _check_target(output)
    with _busy("exporting"):
        module = load_module(factory, weights)
        sizes = example_from_shape(example)
        report = export_model(module, sizes, output, sample_rate=sample_rate, hop=hop, tolerance=tolerance)
    if as_json:
        from dataclasses import asdict

        _print_json(asdict(report))
    else:
        from tidegate._reports import export_parts

        _show(export_parts(report))


@app.command(
    epilog="\b\nExample:\n  tidegate quantize kws.onnx -o kws.int8.onnx\n"
    "  tidegate quantize kws.onnx -o kws.int4.onnx --precision W4A8g32 \\\n"
    "    --precision 'head.*=W16A16'"
)
def quantize(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A float streaming ONNX file.")],
    output: Output,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[PATTERN=]PRECISION",
            help="Bits of weights and activations, of all weights or of those whose name matches; may be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Quantize a streaming ONNX file.

    Precisions are W8A16 (the default), W8A8, W4A16, W4A8, W16A16, W16A8: bits of weights, most bits of activations;
    g8 or g32 behind them gives each group of 8 or 32 inputs a scale of its own; float32 leaves weights as they are.
    Of several patterns that match a name the last counts; one precision without a pattern is for the rest.

    The exit status is 1 when a recurrent weight could not be quantized; the file is written, and the table says why.
    """
    from tidegate.quant import quantize as quantize_file

    _check_target(output)
    with _busy("quantizing"):
        report = quantize_file(source, output, precision=_precisions(precision or []))
    if as_json:
        _print_json(report.to_dict())
    else:
        from tidegate._reports import quantization_parts

        _show(quantization_parts(report))
    if report.recurrent_float:
        names = ", ".join(weight.name for weight in report.recurrent_float)
        _complain(f"recurrent weights stayed float: {names}")
        raise typer.Exit(1)


def _precisions(options: Sequence[str]) -> dict[str, str]:
    """Return precisions by pattern; one without a pattern is for all weights."""
    pairs = [option.rpartition("=") for option in options]
    return {pattern if split else "*": precision for pattern, split, precision in pairs}


@app.command(epilog="\b\nExample:\n  tidegate inspect kws.int8.onnx")
def inspect(path: File, as_json: Json = False) -> None:
    """Show a model's contract, layers and backend."""
    from tidegate.runtime.inspection import inspect_file

    facts = inspect_file(path)
    if as_json:
        _print_json(facts.to_dict())
    else:
        from tidegate._reports import inspection_parts

        _show(inspection_parts(facts))


@app.command(epilog="\b\nExample:\n  sensor | tidegate run watch.int8.onnx | tee answers.csv")
def run(
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
    from tidegate._signals import write_file, write_lines

    if output is not None:
        _check_target(output, (".npy", ".csv"))
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
    from tidegate._signals import read_chunks

    for place, frames in read_chunks(source, chunk):
        try:
            answer = stream.push(frames)
        except ChunkError as error:
            raise ChunkError(f"{place}: {error}") from None
        if not isinstance(answer, dict):
            yield answer
        elif name in answer:
            yield answer[name]
        else:
            raise ChunkError(f"the model has outputs {', '.join(answer)}; choose one by --answer NAME")


@app.command(epilog="\b\nExample:\n  tidegate bench watch.int8.onnx --against onnxruntime --seconds 10")
def bench(
    path: File,
    *,
    against: Annotated[
        Rival | None,
        typer.Option(help="Measured beside the engine; default: onnxruntime if installed."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A .npy signal (frames, features); default: noise.")
    ] = None,
    chunk: Chunk = 1,
    seconds: Annotated[float, typer.Option(min=0.01, help="Time for all contenders together.")] = 5.0,
    calls: Annotated[int | None, typer.Option(min=1, help="Calls of each contender, in place of --seconds.")] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="What an answer may take, e.g. 10ms; default: the contract's.")
    ] = None,
    isa: Isa = None,
    as_json: Json = False,
) -> None:
    """Measure the latency of a model.

    The engine and onnxruntime answer the same stream in turns on one core, each call as soon as the one
    before has ended (a closed loop).
    """
    from tidegate._signals import read_array
    from tidegate.benchmarks.comparison import compare
    from tidegate.benchmarks.progress import bar

    limit = None if deadline is None else _seconds(deadline)
    wanted = against or (Rival.onnxruntime if find_spec("onnxruntime") else Rival.none)
    rivals = () if wanted is Rival.none else (wanted.value,)
    signal = None if source is None else read_array(source).astype("float32")
    with bar("measuring") as progress, _naming(source):
        comparison = compare(
            path, against=rivals, signal=signal, frames=chunk, calls=calls, seconds=seconds, deadline=limit, isa=isa,
            progress=progress,
        )  # fmt: skip
    if as_json:
        _print_json(comparison.to_dict())
    else:
        from tidegate._reports import comparison_parts

        _show(comparison_parts(comparison))


@app.command(
    "compile",
    epilog="\b\nExample:\n  tidegate compile kws.int8.onnx -o kws.tide\n"
    "  tidegate compile kws.int8.onnx -o kws.c --format c",
)
def compile_command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A streaming ONNX file.")],
    output: Output,
    form: Annotated[
        Form, typer.Option("--format", help="The plan itself, or C source that holds it as a const array.")
    ] = Form.plan,
    as_json: Json = False,
) -> None:
    """Compile an ONNX file to a plan.

    The engine loads a plan where onnx is not installed; a C program may hold it as an array.
    """
    from tidegate import compile_model

    _check_target(output, (".c",) if form is Form.c else ())
    count = compile_model(source, output, form.value)
    if as_json:
        _print_json({"path": os.fspath(output), "bytes": count})
    else:
        typer.echo(f"{output}: {count} bytes")


# ---- what commands share ----


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?(s|ms|us|)", text)
    if match is None or float(match[1]) == 0:
        raise typer.BadParameter(f"{text!r} is not a time; wanted e.g. 10ms, 250us or 0.5s")
    return float(match[1]) * SECONDS[match[2]]


def _check_target(path: Path, formats: Sequence[str] = ()) -> None:
    """Refuse before any work what could not be written after it."""
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "is a folder, wanted the name of a file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(ENOENT, "there is no such folder; create it first", str(path.parent))
    if formats and path.suffix not in formats:
        raise typer.BadParameter(f"{path}: wanted a name that ends in {' or '.join(formats)}")


@contextmanager
def _naming(source: Path | None) -> Iterator[None]:
    """Let a refused chunk name the file that it came from."""
    try:
        yield
    except ChunkError as error:
        raise ChunkError(f"{source}: {error}" if source else str(error)) from None


@contextmanager
def _busy(text: str) -> Iterator[None]:
    """Show on standard error that something is going on, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def _show(parts: "Iterator[Any]") -> None:
    from tidegate.benchmarks.tables import show

    show(*parts)


def _print_json(fields: dict[str, Any]) -> None:
    typer.echo(json.dumps(fields, indent=1, default=str))


def _complain(text: str) -> None:
    """Print one line on standard error, whatever a message brings along."""
    line = " ".join(text.split())
    typer.echo(f"tidegate: error: {''.join(c if c.isprintable() else '?' for c in line)}", err=True)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    if isinstance(error, TidegateError | OSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; {TRACEBACK_VARIABLE}=1 shows where; please report it"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed or not so, 2 wrong usage, 130 interrupted."""
    try:
        app(args=arguments, prog_name="tidegate")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # the command line never answers with a traceback
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        _complain(_describe(error))
        sys.exit(1)
