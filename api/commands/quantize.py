"""`tidegate quantize`: weights become integers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Json, Output, check_target
from tidegate.commands._output import busy, complain, print_json, show, size

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.quant import QuantizationReport

EXAMPLE = (
    "tidegate quantize kws.onnx -o kws.int8.onnx\n"
    "  tidegate quantize kws.onnx -o kws.int4.onnx --precision W4A8g32 \\\n"
    "    --precision 'head.*=W16A16'"
)


def command(
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

    check_target(output)
    with busy("quantizing"):
        report = quantize_file(source, output, precision=_precisions(precision or []))
    if as_json:
        print_json(report.to_dict())
    else:
        show(_parts(report))
    if report.recurrent_float:
        names = ", ".join(weight.name for weight in report.recurrent_float)
        complain(f"recurrent weights stayed float: {names}")
        raise typer.Exit(1)


def _parts(report: "QuantizationReport") -> "Parts":
    """Give the coverage of a quantized file."""
    from tidegate.benchmarks.tables import Table

    rows = [
        [
            weight.name,
            " x ".join(map(str, weight.shape)),
            weight.precision,
            "-" if weight.precision == "float32" else f"{100 * weight.error:.3g}%",
            weight.reason,
        ]
        for weight in report.weights
    ]
    reasons = any(weight.reason for weight in report.weights)
    columns = ["weight|", "shape", "precision", "error"] + ["why it stayed float|"] * reasons
    yield Table("Weights: error is root mean square, relative", columns, [row[: len(columns)] for row in rows])
    share = report.bytes / report.source_bytes
    yield (
        f"{report.path}: {size(report.bytes)}, {share:.0%} of {size(report.source_bytes)}; "
        f"tried out on {report.backend}"
    )


def _precisions(options: Sequence[str]) -> dict[str, str]:
    """Return precisions by pattern; one without a pattern is for all weights."""
    pairs = [option.rpartition("=") for option in options]
    return {pattern if split else "*": precision for pattern, split, precision in pairs}
