"""Rows of the report, from what became of weights."""

from collections.abc import Iterator

import numpy as np

from ...runtime.operators.matrix import FLOAT, LARGEST_CODE
from ...runtime.precision import Precision
from ..calibration import NEAREST, Calibrated
from ..file.weights import Weight
from ..rounding.budget import bytes_of
from ..rounding.nearest import each, rms_error
from ..rounding.rounded_program import Rounded
from .quantization_report import GateRow, Histogram, OptionRow, WeightRow

BINS, MOST_ERROR = 41, 2.0  # of histograms; in steps of a code


def float_row(weight: Weight, asked: Precision) -> WeightRow:
    """Return the row of a weight that stayed float."""
    reason = weight.reason if asked.weight_bits != FLOAT else ""
    about = (weight.name, weight.operator, weight.recurrent, weight.shape)
    return WeightRow(*about, FLOAT, 0, 0, 0.0, reason, str(asked), bytes=4 * weight.values.size)


def row_of(weight: Weight, asked: Precision, made: Rounded, found: Calibrated | None) -> WeightRow:
    """Return the row of a quantized weight.

    Args:
        weight: The weight.
        asked: The precision asked for.
        made: Its codes and scales.
        found: What calibration found; None where it was rounded without.
    """
    precision, values = made.precision, weight.by_row()
    return WeightRow(
        weight.name,
        weight.operator,
        weight.recurrent,
        weight.shape,
        precision.weight_bits,
        precision.group,
        precision.activation_bits,
        rms_error(values, made.codes, made.scales, precision.group),
        "",
        str(asked),
        found.method if found else NEAREST,
        bytes_of(weight.shape, precision),
        float(made.scales.min()),
        float(made.scales.max()),
        _saturation(made, slice(None)),
        _gates(weight, made, found.gates[weight.name] if found else {}),
        tuple(OptionRow(str(o.precision), o.bytes, o.error) for o in found.options[weight.name]) if found else (),
        histograms=tuple(_histograms(weight, made)),
    )


def _gates(weight: Weight, made: Rounded, sensitivities: dict[str, float]) -> tuple[GateRow, ...]:
    values, rows = weight.by_row(), []
    units = len(values) // max(len(weight.gates), 1)
    for number, gate in enumerate(weight.gates):
        part = slice(number * units, (number + 1) * units)
        scales = made.scales[part]
        error = rms_error(values[part], made.codes[part], scales, made.precision.group)
        extremes = float(scales.min()), float(scales.max())
        rows.append(GateRow(gate, *extremes, error, _saturation(made, part), sensitivities.get(gate)))
    return tuple(rows)


def _histograms(weight: Weight, made: Rounded) -> Iterator[Histogram]:
    values, precision = weight.by_row(), made.precision
    steps = each(made.scales, values.shape[1], precision.group)
    errors = np.clip(made.codes - values / steps, -MOST_ERROR, MOST_ERROR)
    largest = LARGEST_CODE[precision.weight_bits]
    units = len(values) // max(len(weight.gates), 1)
    for number, gate in enumerate(weight.gates or ("",)):
        part = slice(number * units, (number + 1) * units)
        codes, _ = np.histogram(made.codes[part], min(BINS, 2 * largest + 1), (-largest - 0.5, largest + 0.5))
        apart, _ = np.histogram(errors[part], BINS, (-MOST_ERROR, MOST_ERROR))
        yield Histogram(gate, tuple(codes.tolist()), largest, tuple(apart.tolist()), MOST_ERROR)


def _saturation(made: Rounded, part: slice) -> float:
    largest = LARGEST_CODE[made.precision.weight_bits]
    return float(np.mean(np.abs(made.codes[part].astype(np.int32)) == largest))
