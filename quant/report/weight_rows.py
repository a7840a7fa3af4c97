"""The report's rows: what became of each weight."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...runtime.operators.matrix import FLOAT, LARGEST_CODE
from ..file.weights import Weight
from ..rounding.budget import bytes_of
from ..rounding.choice import NEAREST, Choice
from ..rounding.nearest import Rounded, rms_error
from ..rounding.precision import Precision
from .quantization_report import GateRow, Histogram, OptionRow, WeightRow

BINS, MOST_ERROR = 41, 2.0  # of the histograms: bins, and the largest rounding error in steps of a code


def rows_of(
    weights: Sequence[Weight],
    asked: Mapping[str, Precision],
    made: Mapping[str, Rounded],
    choice: Choice,
    ranges: Mapping[str, np.float32],
) -> tuple[WeightRow, ...]:
    """Return the report's row of each weight, in the order of the weights.

    Args:
        weights: The weights of the float graph.
        asked: The precision asked for, by the weight's name.
        made: Codes and scales by name; weights without an entry stayed float.
        choice: How the codes were chosen.
        ranges: Fixed ranges of activations by name; weights without an entry have none.
    """
    return tuple(
        _row(weight, asked[weight.name], made[weight.name], choice, ranges.get(weight.name))
        if weight.name in made
        else _float_row(weight, asked[weight.name])
        for weight in weights
    )


def _float_row(weight: Weight, asked: Precision) -> WeightRow:
    reason = weight.reason if asked.weight_bits != FLOAT else ""
    about = (weight.name, weight.operator, weight.recurrent, weight.shape)
    return WeightRow(*about, FLOAT, 0, 0, 0.0, reason, str(asked), bytes=4 * weight.values.size)


def _row(weight: Weight, asked: Precision, made: Rounded, choice: Choice, most: np.float32 | None) -> WeightRow:
    precision = made.precision
    return WeightRow(
        name=weight.name,
        operator=weight.operator,
        recurrent=weight.recurrent,
        shape=weight.shape,
        bits=precision.weight_bits,
        group=precision.group,
        activation_bits=precision.activation_bits,
        error=rms_error(weight.by_channel(), made.values),
        asked=str(asked),
        method=choice.method if weight.name in choice.codes else NEAREST,
        bytes=bytes_of(weight.shape, precision),
        scale_min=float(made.scales.min()),
        scale_max=float(made.scales.max()),
        saturation=_saturation(made, slice(None)),
        gates=_gates(weight, made, choice.gates.get(weight.name, {})),
        options=tuple(OptionRow(str(o.precision), o.bytes, o.error) for o in choice.options.get(weight.name, ())),
        range=None if most is None else float(most),
        histograms=tuple(_histograms(weight, made)),
    )


def _gates(weight: Weight, made: Rounded, sensitivities: Mapping[str, float]) -> tuple[GateRow, ...]:
    exact, values, rows = weight.by_channel(), made.values, []
    for gate, part in _parts(weight) if weight.gates else ():
        scales = made.scales[part]
        extremes = float(scales.min()), float(scales.max())
        error = rms_error(exact[part], values[part])
        rows.append(GateRow(gate, *extremes, error, _saturation(made, part), sensitivities.get(gate)))
    return tuple(rows)


def _histograms(weight: Weight, made: Rounded) -> Iterator[Histogram]:
    steps = made.steps.astype(np.float32)
    errors = np.clip(made.codes - weight.by_channel() / steps, -MOST_ERROR, MOST_ERROR)
    largest = LARGEST_CODE[made.precision.weight_bits]
    for gate, part in _parts(weight):
        codes, _ = np.histogram(made.codes[part], min(BINS, 2 * largest + 1), (-largest - 0.5, largest + 0.5))
        apart, _ = np.histogram(errors[part], BINS, (-MOST_ERROR, MOST_ERROR))
        yield Histogram(gate, tuple(codes.tolist()), largest, tuple(apart.tolist()), MOST_ERROR)


def _parts(weight: Weight) -> Iterator[tuple[str, slice]]:
    """Give the output channels of each gate; without gates all of them, under an empty name."""
    gates = weight.gates or [""]
    units = weight.shape[0] // len(gates)
    for number, gate in enumerate(gates):
        yield gate, slice(number * units, (number + 1) * units)


def _saturation(made: Rounded, part: slice) -> float:
    """Return the fraction of codes that are the largest or its negative."""
    largest = LARGEST_CODE[made.precision.weight_bits]
    return float(np.mean(np.abs(made.codes[part].astype(np.int32)) == largest))
