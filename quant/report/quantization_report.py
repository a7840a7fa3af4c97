"""What a quantization did: a row for each weight matrix, and what calibration found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from ...runtime.errors import QuantizationError
from ...runtime.operators.matrix import FLOAT
from ...runtime.precision import Precision
from ..observing.drift import Drift


@dataclass(frozen=True)
class GateRow:
    """The rows of a weight matrix that make one gate.

    Attributes:
        gate: i, o, f, c of an LSTM; z, r, h of a GRU, as ONNX calls them.
        scale_min: The smallest scale of its rows or groups.
        scale_max: The largest.
        error: Root mean square of the rounding error, relative to that of the weights.
        saturation: Share of the codes that are the largest there is.
        sensitivity: Error of the output, relative root mean square, where this gate of this weight alone is
            quantized; None without calibration.
    """

    gate: str
    scale_min: float
    scale_max: float
    error: float
    saturation: float
    sensitivity: float | None = None


@dataclass(frozen=True)
class Histogram:
    """How often codes and rounding errors of a gate occur, in bins of equal width.

    Attributes:
        gate: The gate; empty for a weight without gates.
        codes: Counts of codes from -largest to largest.
        largest: The largest code there is.
        errors: Counts of rounding errors from -most to most; what lies beyond counts in the last bins.
        most: In steps of a code.
    """

    gate: str
    codes: tuple[int, ...]
    largest: int
    errors: tuple[int, ...]
    most: float


@dataclass(frozen=True)
class OptionRow:
    """A precision that a weight might have got.

    Attributes:
        precision: In the field's notation.
        bytes: What codes and scales take.
        error: Error of the output, relative root mean square, where this weight alone is quantized so.
    """

    precision: str
    bytes: int
    error: float


@dataclass(frozen=True)
class WeightRow:
    """One weight matrix.

    Attributes:
        name: Its name in the file.
        operator: The operator that reads it.
        recurrent: Whether that is a recurrent layer.
        shape: Rows and columns; as it lies in the file where it could not be quantized.
        bits: 4, 8 or 16, or 32 where it stayed float.
        group: Inputs that share a scale, 8 or 32; 0: all of a row.
        activation_bits: Most bits of what it multiplies on tidegate's engine, 8 or 16; 0 where it stayed float.
        error: Root mean square of the rounding error, relative to that of the weights.
        reason: Why it could not be quantized; empty when it was, or was to stay float.
        asked: The precision that was asked for; another one was worth its bytes, or met the budget.
        method: How it was rounded: nearest, compensated, guided or guided by row; empty where it stayed float.
        bytes: What its codes and scales take, or its floats.
        scale_min: Its smallest scale.
        scale_max: Its largest.
        saturation: Share of its codes that are the largest there is.
        gates: The same by gate; none where there are no gates.
        options: What calibration measured of it, the precision asked for first.
        histograms: Of codes and rounding errors, one a gate.
        range: The largest magnitude that codes of what it multiplies say; None: each frame's own, or of an h 1.
    """

    name: str
    operator: str
    recurrent: bool
    shape: tuple[int, ...]
    bits: int
    group: int
    activation_bits: int
    error: float
    reason: str = ""
    asked: str = ""
    method: str = ""
    bytes: int = 0
    scale_min: float = 0.0
    scale_max: float = 0.0
    saturation: float = 0.0
    gates: tuple[GateRow, ...] = ()
    options: tuple[OptionRow, ...] = ()
    range: float | None = None
    histograms: tuple[Histogram, ...] = ()

    @property
    def precision(self) -> str:
        """Return its precision in the field's notation, e.g. W4A16g32 or float32."""
        return str(Precision(self.bits, self.activation_bits, self.group))

    @property
    def sensitivity(self) -> float | None:
        """Error of the output where this weight alone is quantized; None where it was not measured."""
        return next((option.error for option in self.options if option.precision == self.precision), None)


@dataclass(frozen=True)
class CalibrationReport:
    """What calibration found.

    Attributes:
        streams: Streams used.
        frames: Frames used, with those held out.
        held_frames: Frames held out, on which all errors here were measured.
        complete: Whether all that was given was used.
        method: How weights were rounded: the method with the least error.
        error: Error of the output, relative root mean square over all outputs: of the written file.
        errors: The same for each output.
        candidates: The same for each method and damping tried, before the file was written.
        readings: The same had activations been read by other ranges, by each frame, or in 16 bits; none where the
            ranges were not asked for.
        seconds: How long it took.
        drift: Error of the output over a hundred thousand steps; None where the model leaves its range.
    """

    streams: int
    frames: int
    held_frames: int
    complete: bool
    method: str
    error: float
    errors: dict[str, float]
    candidates: dict[str, float]
    readings: dict[str, float]
    seconds: float
    drift: Drift | None = None


@dataclass(frozen=True)
class QuantizationReport:
    """What became of each weight, and of the file.

    Attributes:
        path: The file written.
        source_bytes: Size of the float file.
        bytes: Size of the quantized file.
        weights: A row for each weight matrix.
        backend: What the written file was loaded and run on.
        calibration: What calibration found; None without.
        arithmetic: float or integer: how tidegate's engine computes what its weights multiply, and its gates.
        float_operators: With integer arithmetic the nodes that compute in floats all the same, and why.
    """

    path: str
    source_bytes: int
    bytes: int
    weights: tuple[WeightRow, ...]
    backend: str
    calibration: CalibrationReport | None = None
    arithmetic: str = "float"
    float_operators: tuple[str, ...] = ()

    @property
    def recurrent_float(self) -> tuple[WeightRow, ...]:
        """Recurrent weights that could not be quantized; empty when all were, or were to stay float."""
        return tuple(w for w in self.weights if w.recurrent and w.reason)

    @property
    def moved(self) -> tuple[WeightRow, ...]:
        """Weights that got another precision than was asked for."""
        return tuple(w for w in self.weights if w.asked and w.asked != w.precision)

    @property
    def coverage(self) -> float:
        """Share of the values of weight matrices that are quantized."""
        sizes = [(_size(w.shape), w.bits != FLOAT) for w in self.weights]
        return sum(size for size, quantized in sizes if quantized) / max(sum(size for size, _ in sizes), 1)

    def still_float(self, patterns: Sequence[str]) -> tuple[WeightRow, ...]:
        """Return the weights that are not quantized though a pattern, e.g. `lstm.*`, requires it.

        Raises:
            QuantizationError: A pattern matches no weight.
        """
        for pattern in patterns:
            if not any(fnmatchcase(w.name, pattern) for w in self.weights):
                names = ", ".join(w.name for w in self.weights)
                raise QuantizationError(f"no weight matches {pattern!r}; there are {names}")
        required = [w for w in self.weights if any(fnmatchcase(w.name, pattern) for pattern in patterns)]
        return tuple(w for w in required if w.bits == FLOAT)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self) | {"coverage": self.coverage}


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
