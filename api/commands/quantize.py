"""`tidegate quantize`: weights become integers."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Json, Output, check_target
from tidegate.commands._output import busy, complain, print_json, show, size

if TYPE_CHECKING:
    from tidegate.benchmarks.tables import Table
    from tidegate.commands._output import Parts
    from tidegate.quant import CalibrationReport, Drift, QuantizationReport, WeightRow
    from tidegate.runtime.arrays import Array

EXAMPLE = (
    "tidegate quantize kws.onnx -o kws.int8.onnx --calibration recordings/\n"
    "  tidegate quantize kws.onnx -o kws.int4.onnx --precision W4A8g32 \\\n"
    "    --precision 'head.*=W16A16' --require 'lstm.*'\n"
    "  tidegate quantize kws.onnx -o kws.int.onnx --calibration recordings/ \\\n"
    "    --arithmetic integer"
)


class Arithmetic(StrEnum):
    """How the engine computes what weights multiply."""

    float = "float"
    integer = "integer"


class Ranges(StrEnum):
    """How the ranges of activations are fixed."""

    minmax = "minmax"
    percentile = "percentile"
    mse = "mse"
    entropy = "entropy"


class Method(StrEnum):
    """How weights are rounded."""

    nearest = "nearest"
    compensated = "compensated"
    guided = "guided"


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A float streaming ONNX file.")],
    output: Output,
    *,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[PATTERN=]PRECISION",
            help="Bits of weights and activations, of all weights or of those whose name matches; may be repeated.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Streams of what the model will hear: .npy, .npz, .wav, .flac files."),
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="How to round; default: with calibration the best, without it nearest.")
    ] = None,
    ranges: Annotated[
        Ranges | None,
        typer.Option(help="Fix the ranges of activations, as static int8 does; default: each frame has its own."),
    ] = None,
    extra: Annotated[
        float, typer.Option(min=0, metavar="SHARE", help="More bytes of weights that may be spent where they help.")
    ] = 0.05,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The most exact file of at most so many bytes.")
    ] = None,
    max_error: Annotated[
        float | None, typer.Option(min=0, metavar="E", help="The smallest file whose output errs by at most so much.")
    ] = None,
    arithmetic: Annotated[
        Arithmetic, typer.Option(help="What the engine computes with; integer needs a calibration folder.")
    ] = Arithmetic.float,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Weights that must not stay float, by name; may be repeated."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page with plots.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Quantize a streaming ONNX file.

    Precisions are W8A16 (the default), W8A8, W4A16, W4A8, W16A16, W16A8: bits of weights, most bits of activations;
    g8 or g32 behind them gives each group of 8 or 32 inputs a scale of its own; float32 leaves weights as they are.
    Of several patterns that match a name the last counts; one precision without a pattern is for the rest.

    With a calibration folder weights are rounded by what the model hears, and a part of the recordings is held out
    to tell the error of the output: relative root mean square, in the report and for --max-error. Each file is a
    stream from the zero state: frames x features, or ids; a recording is samples x channels.

    With --arithmetic integer layers whose weights are int8 with one scale a row compute without floats: int16
    activations and states, gates in fixed point, scales from the calibration folder. The file stays one that any ONNX
    runtime opens; what has no integer form computes in floats, and is named.

    The exit status is 1 when a recurrent weight could not be quantized, or one that --require names is float; the
    file is written, and the table says why.
    """
    from tidegate.benchmarks.progress import bar
    from tidegate.quant import quantize as quantize_file

    check_target(output)
    if html is not None:
        check_target(html)
    working = nullcontext() if calibration else busy("quantizing")
    with working, bar("calibrating") if calibration else nullcontext() as progress:
        report = quantize_file(
            source,
            output,
            precision=_precisions(precision or []),
            calibration=None if calibration is None else _streams(source, calibration),
            method=None if method is None else method.value,
            ranges=None if ranges is None else ranges.value,
            extra=extra,
            max_bytes=max_bytes,
            max_error=max_error,
            arithmetic=arithmetic.value,
            progress=progress,
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


def _streams(source: Path, folder: Path) -> "Iterator[Array]":
    from tidegate.commands._stream_files import read_streams
    from tidegate.runtime.graph.graph import Graph

    contract = Graph.load(source).contract
    return read_streams(folder, contract.sample_rate if contract.hop == 1 else None)


def _parts(report: "QuantizationReport") -> "Parts":
    """Give the coverage of a quantized file, and what calibration found."""
    from tidegate.benchmarks.tables import Table

    measured = report.calibration is not None
    reasons = any(weight.reason for weight in report.weights)
    fixed = any(weight.range is not None for weight in report.weights)
    columns = ["weight|", "shape", "precision", "bytes", "error"] + ["output"] * measured + ["range"] * fixed
    columns += ["why it stayed float|"] * reasons
    rows = [_row(weight, measured=measured, fixed=fixed, reasons=reasons) for weight in report.weights]
    alone = "; output: that of the output, were this weight alone quantized" if measured else ""
    alone += "; range: of what it multiplies" if fixed else ""
    yield Table(f"Weights: error is root mean square, relative{alone}", columns, rows)
    if report.calibration is not None:
        yield _gates(report.weights)
        yield from _calibration(report.calibration, report.moved)
    if report.arithmetic == "integer":
        yield from [f"In floats: {operator}" for operator in report.float_operators] or ["The whole net is integer"]
    share = report.bytes / report.source_bytes
    yield (
        f"{report.path}: {size(report.bytes)}, {share:.0%} of {size(report.source_bytes)}; "
        f"{report.coverage:.1%} of the weights quantized; tried out on {report.backend}"
    )


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
    less = "" if found.complete else ", the first of what was given"
    used = found.frames - found.held_frames
    yield f"Calibrated on {used} frames of {found.streams} streams{less} in {found.seconds:.0f} s"
    yield f"Error of the output on {found.held_frames} frames held out: {percent(found.error)} (tried: {tried})"
    if found.drift is not None:
        yield from _drift(found.drift)
    if found.readings:
        others = ", ".join(f"{name}: {percent(error)}" for name, error in found.readings.items())
        yield f"The same by the ranges of activations: {others}"


def _drift(drift: "Drift") -> Iterator[str]:
    """Say how the error goes with the position in a stream."""
    decades = ", ".join(f"{span.first}-{span.last} {percent(span.error)}" for span in drift.decades)
    again = f"; what was held out is repeated after {drift.repeated} frames" if drift.repeated else ""
    yield f"Error of the output by steps, state carried{again}: {decades}"


def percent(value: float | None) -> str:
    """Return a share with three digits that count; a dash for none."""
    return "-" if value is None else f"{100 * value:.3g}%"


def _precisions(options: Sequence[str]) -> dict[str, str]:
    """Return precisions by pattern; one without a pattern is for all weights."""
    pairs = [option.rpartition("=") for option in options]
    return {pattern if split else "*": precision for pattern, split, precision in pairs}
