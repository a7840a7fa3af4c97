"""`tidegate quantize`: turns the weights of a model into integers."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tidegate.commands._options import Json, Output, check_targets, given, usage
from tidegate.commands._output import busy, complain, print_json, show, size

if TYPE_CHECKING:
    from tidegate.benchmarks.tables import Table
    from tidegate.commands._output import Parts
    from tidegate.quant import AnswersReport, CalibrationReport, Drift, QuantizationReport, WeightRow
    from tidegate.runtime.arrays import Chunk

EXAMPLE = (
    "tidegate quantize kws.onnx -o kws.int8.onnx --calibration recordings/\n"
    "  tidegate quantize kws.onnx -o kws.int4.onnx --precision W4A8g32 \\\n"
    "    --precision 'head.*=W16A16' --require 'lstm.*'\n"
    "  tidegate quantize kws.onnx -o kws.int.onnx --calibration recordings/ \\\n"
    "    --arithmetic integer"
)


class Arithmetic(StrEnum):
    """The numbers that the engine computes with."""

    float = "float"
    integer = "integer"


class Ranges(StrEnum):
    """The method of choosing the ranges of activations."""

    minmax = "minmax"
    percentile = "percentile"
    mse = "mse"
    entropy = "entropy"


class Method(StrEnum):
    """The method of rounding weights."""

    nearest = "nearest"
    compensated = "compensated"
    guided = "guided"


def command(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A float streaming ONNX file.")],
    output: Output,
    *,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[PATTERN=]PRECISION",
            help="Precision of all weights, or of those whose name matches. May be repeated; default: W8A16.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Typical input streams: .npy, .npz, .csv, .wav and .flac files."),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(help="How weights are rounded; default: the best with calibration, nearest without."),
    ] = None,
    ranges: Annotated[
        Ranges | None,
        typer.Option(help="Fix the ranges of activations by this method; default: each frame has its own range."),
    ] = None,
    extra: Annotated[
        float,
        typer.Option(
            min=0, metavar="SHARE", help="With calibration: bytes to add for more exact weights, as a share of all."
        ),
    ] = 0.05,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Find the most exact file of at most N bytes.")
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(min=0, metavar="E", help="Find the smallest file whose output has an error of at most E."),
    ] = None,
    arithmetic: Annotated[
        Arithmetic, typer.Option(help="The numbers the engine computes with; integer needs --calibration.")
    ] = Arithmetic.float,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Weights that must be quantized, by name. May be repeated."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page with plots.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Quantize a streaming ONNX file.

    A precision is W8A16, W8A8, W4A16, W4A8, W16A16 or W16A8: the bits of weights and the most bits of activations.
    With g8 or g32 at the end, each group of 8 or 32 inputs has its own scale. float32 leaves weights unchanged. If
    several patterns match a name, the last one wins; a precision without a pattern is for all other weights.

    With a calibration folder, weights are rounded so that the output stays exact on these streams. A part of the
    streams is held out to measure the error of the output, as a relative root mean square; --max-error limits this
    error. --ranges, --max-bytes, --max-error and methods other than nearest need the folder. Each file in it is a
    stream from the zero state: frames x features, or token ids; a recording is samples x channels.

    With --arithmetic integer, layers whose weights are int8 with one scale per channel compute without floats:
    activations and states are int16, gates are in fixed point. Other layers compute in floats, and the output names
    them. Any ONNX runtime can still open the file.

    The float and the quantized model are streamed next to each other: on the frames held out, or without a folder on
    noise (or random ids) of tidegate's own making, loud to quiet. If the output errs by more than 10 % of its root mean
    square, a warning says which options err less. The exit status stays 0.

    The exit status is 1 if a recurrent weight or a weight of --require stayed float. The file is written all the same,
    and the table gives the reason.
    """
    from tidegate.benchmarks.progress import bar
    from tidegate.quant import quantize as quantize_file

    check_targets((output, html), sources=(source, calibration))
    options: dict[str, Any] = {
        "precision": _precisions(precision or []),
        "method": None if method is None else method.value,
        "ranges": None if ranges is None else ranges.value,
        "extra": extra,
        "max_bytes": max_bytes,
        "max_error": max_error,
        "arithmetic": arithmetic.value,
    }
    if calibration is None and "extra" in given(context):
        raise typer.BadParameter("--extra has no effect without --calibration")
    _check_usage(source, require or [], options, calibrated=calibration is not None)
    working = nullcontext() if calibration else busy("quantizing")
    with working, bar("calibrating") if calibration else nullcontext() as progress:
        report = quantize_file(
            source,
            output,
            calibration=None if calibration is None else _streams(source, calibration),
            progress=progress,
            **options,
        )
    if html is not None:
        from tidegate.benchmarks.showing.quantization_page import write_quantization_page

        write_quantization_page(report, _parts(report), html)
    if as_json:
        print_json(report.to_dict())
    else:
        show(_parts(report))
    missing = {weight.name for weight in (*report.recurrent_float, *report.still_float(require or []))}
    if missing:
        names = ", ".join(weight.name for weight in report.weights if weight.name in missing)
        complain(f"weights stayed float: {names}")
        raise typer.Exit(1)


def _check_usage(source: Path, required: "Sequence[str]", options: dict[str, Any], *, calibrated: bool) -> None:
    """Refuse options that do not fit together and patterns that match no weight, before any work is done."""
    from tidegate.quant.file.weight_precisions import choose
    from tidegate.quant.file.weights import weights_of
    from tidegate.quant.quantize import Options
    from tidegate.runtime.graph.graph import Graph

    weights = weights_of(Graph.load(source))
    with usage():
        Options(calibration=() if calibrated else None, **options)
        choose(options["precision"], weights)
        choose(dict.fromkeys(required, "float32"), weights)  # a pattern of --require matches a weight, as those do


def _streams(source: Path, folder: Path) -> "Iterator[Chunk]":
    from tidegate.commands._signal_form import SignalForm
    from tidegate.commands._signals import read_streams

    return read_streams(folder, SignalForm.of(source))


def _parts(report: "QuantizationReport") -> "Parts":
    """Give the tables of weights and gates, and the sentences about calibration and size."""
    from tidegate.benchmarks.tables import Table

    measured = report.calibration is not None
    reasons = any(weight.reason for weight in report.weights)
    fixed = any(weight.range is not None for weight in report.weights)
    columns = ["weight|", "shape", "precision", "bytes", "error"] + ["output"] * measured + ["range"] * fixed
    columns += ["why it stayed float|"] * reasons
    rows = [_row(weight, measured=measured, fixed=fixed, reasons=reasons) for weight in report.weights]
    more = "; output: error of the output if only this weight is quantized" if measured else ""
    more += "; range: of the weight's input" if fixed else ""
    yield Table(f"Weights: error is relative root mean square{more}", columns, rows)
    if report.calibration is not None:
        yield _gates(report.weights)
        yield from _calibration(report.calibration, report.moved)
    elif report.answers is not None:
        yield _answers(report.answers)
    if report.front_error is not None:
        stays = "it stayed float32" if not report.front_error else "its own share of the error of the output"
        yield f"Front end: {percent(report.front_error)}: {stays}"
    if report.arithmetic == "integer":
        yield from [f"In floats: {operator}" for operator in report.float_operators] or ["The whole net is integer"]
    share = report.bytes / report.source_bytes
    yield (
        f"{report.path}: {size(report.bytes)}, {share:.0%} of {size(report.source_bytes)}; "
        f"{report.coverage:.1%} of the weights quantized; tried out on {report.backend}"
    )
    yield from (f"warning: {text}" for text in report.warnings)


def _answers(answers: "AnswersReport") -> str:
    """Say how far the answers to a signal of tidegate's own making are from those of the float model."""
    levels = ", ".join(f"{percent(error)} on {name}" for name, error in answers.levels.items())
    return f"Error of the output on {answers.frames} frames of {answers.signal}: {levels}"


def _row(weight: "WeightRow", *, measured: bool, fixed: bool, reasons: bool) -> list[str]:
    error = "-" if weight.precision == "float32" else percent(weight.error)
    cells = [weight.name, " x ".join(map(str, weight.shape)), weight.precision, str(weight.bytes), error]
    cells += [percent(weight.sensitivity)] * measured
    cells += ["-" if weight.range is None else f"{weight.range:.3g}"] * fixed
    return cells + [weight.reason] * reasons


def _gates(weights: "Sequence[WeightRow]") -> "Table":
    from tidegate.benchmarks.tables import Table

    rows = [
        [
            weight.name,
            gate.gate,
            f"{gate.scale_min:.1e}",
            f"{gate.scale_max:.1e}",
            percent(gate.error),
            percent(gate.saturation),
            percent(gate.sensitivity),
        ]
        for weight in weights
        for gate in weight.gates
    ]
    columns = ["weight|", "gate|", "scales", "to", "error", "saturated", "output"]
    return Table("Gates: scales, error, share of codes at the end of their range, output", columns, rows)


def _calibration(found: "CalibrationReport", moved: "Sequence[WeightRow]") -> Iterator[str]:
    for weight in moved:
        asked = next((option.bytes for option in weight.options), weight.bytes)
        yield f"{weight.name}: {weight.precision} in place of {weight.asked}, {weight.bytes - asked:+} bytes"
    tried = ", ".join(f"{name}: {percent(error)}" for name, error in found.candidates.items())
    less = "" if found.complete else ", the first part of the given streams"
    used = found.frames - found.held_frames
    yield f"Calibrated on {used} frames of {found.streams} streams{less} in {found.seconds:.0f} s"
    yield f"Error of the output on {found.held_frames} frames held out: {percent(found.error)} (tried: {tried})"
    if found.drift is not None:
        yield from _drift(found.drift)
    if found.readings:
        others = ", ".join(f"{name}: {percent(error)}" for name, error in found.readings.items())
        yield f"The same with other ranges of activations: {others}"


def _drift(drift: "Drift") -> Iterator[str]:
    """Give a sentence about the error at each position in a stream."""
    decades = ", ".join(f"{span.first}-{span.last} {percent(span.error)}" for span in drift.decades)
    again = f"; the held-out frames are repeated after frame {drift.repeated}" if drift.repeated else ""
    yield f"Error of the output by position in the stream, state carried{again}: {decades}"


def percent(value: float | None) -> str:
    """Return a fraction as a percentage with three significant digits; a dash for None."""
    return "-" if value is None else f"{100 * value:.3g}%"


def _precisions(options: Sequence[str]) -> dict[str, str]:
    """Return precisions by pattern; a precision without a pattern has the pattern `*`."""
    pairs = [option.rpartition("=") for option in options]
    return {pattern if split else "*": precision for pattern, split, precision in pairs}
