"""The report of a quantization: a row for each weight matrix, and what calibration found."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ...runtime.errors import QuantizationError
from ...runtime.operators.matrix import FLOAT
from ..observing.drift import Drift
from ..rounding.precision import Precision


@dataclass(frozen=True)
class GateRow:
    """The output channels of a weight matrix that make one gate.

    Attributes:
        gate: ONNX's letter: i, o, f, c for an LSTM; z, r, h for a GRU.
        scale_min: The smallest scale of its channels or groups.
        scale_max: The largest.
        error: Root mean square of the rounding error, relative to that of the weights.
        saturation: Fraction of the codes that are the largest code or its negative.
        sensitivity: Error of the output, relative root mean square, if only this gate of this weight is quantized;
            None without calibration.
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
        largest: The largest code of the precision.
        errors: Counts of rounding errors from -most to most. Larger errors count in the outermost bins.
        most: The end of the bins of errors, in steps of a code.
    """

    gate: str
    codes: tuple[int, ...]
    largest: int
    errors: tuple[int, ...]
    most: float


@dataclass(frozen=True)
class OptionRow:
    """A precision that was measured for a weight.

    Attributes:
        precision: The precision, e.g. W8A16.
        bytes: Size of codes and scales.
        error: Error of the output, relative root mean square, if only this weight is quantized.
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
        recurrent: Whether the operator is a recurrent layer.
        shape: Output channels and inputs; if it could not be quantized, its shape in the file.
        bits: 4, 8 or 16; 32 if it stayed float.
        group: Inputs that share a scale, 8 or 32; 0: all inputs of an output channel.
        activation_bits: Most bits of its input on tidegate's engine, 8 or 16; 0 if it stayed float.
        error: Root mean square of the rounding error, relative to that of the weights.
        reason: Why it could not be quantized; empty if it was quantized, or was asked to stay float.
        asked: The precision asked for. Calibration may have chosen another one.
        method: How it was rounded: nearest, compensated, guided or guided by channel; empty if it stayed float.
        bytes: Size of its codes and scales, or of its floats.
        scale_min: Its smallest scale.
        scale_max: Its largest scale.
        saturation: Fraction of its codes that are the largest code or its negative.
        gates: The same for each gate; empty if the operator has no gates.
        options: The precisions that calibration measured, the one asked for first; empty without calibration.
        range: The fixed range of its input: larger magnitudes saturate. None: each frame's own range, or 1 for an h.
        histograms: Codes and rounding errors of each gate, or of the whole weight if there are no gates.
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
        """The precision that it got, e.g. W4A16g32 or float32."""
        return str(Precision(self.bits, self.activation_bits, self.group))

    @property
    def sensitivity(self) -> float | None:
        """Error of the output, relative root mean square, if only this weight is quantized; None if not measured."""
        return next((option.error for option in self.options if option.precision == self.precision), None)


@dataclass(frozen=True)
class CalibrationReport:
    """What calibration found.

    Attributes:
        streams: Number of streams used.
        frames: Number of frames used, including the held-out ones.
        held_frames: Number of held-out frames. All errors here are measured on them.
        complete: Whether all given frames were used.
        method: How weights were rounded: the method that erred least.
        error: Error of the written file's outputs together, relative root mean square.
        errors: The error of each output.
        candidates: The error for each method and damping that was tried, before the file was written.
        readings: The error with other ranges of activations: fixed by each rule, each frame's own, and each frame's
            own with 16 bits. Empty if `ranges` was not asked for.
        seconds: Duration of the calibration.
        drift: Error of the output over a hundred thousand steps; None if a value leaves its range early.
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
class AnswersReport:
    """How far the answers of the written file are from those of the float model.

    Errors are root mean squares, relative to that of the float answers.

    Attributes:
        signal: What both models were streamed on.
        frames: Frames streamed.
        error: The error of all outputs together. If the signal has several levels: at the worst one.
        errors: The same for each output.
        levels: The error at each level of the signal, e.g. `noise of 0.1`; empty if the signal has no levels.
    """

    signal: str
    frames: int
    error: float
    errors: dict[str, float]
    levels: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class QuantizationReport:
    """What became of each weight, and of the file.

    Attributes:
        path: The file written.
        source_bytes: Size of the float file.
        bytes: Size of the quantized file.
        weights: A row for each weight matrix.
        backend: The backend that ran the new file before it was written.
        calibration: What calibration found; None without calibration.
        arithmetic: float or integer: how tidegate's engine computes.
        float_operators: With integer arithmetic, the nodes that still compute in floats, and why.
        answers: How far the answers are from those of the float model; None if they could not be compared.
        warnings: Sentences about answers that err too much or could not be compared, with a way out.
        front_error: The error of the answers if only the weights of the front end are quantized: 0 if they stayed
            float32; None if the model has no front end.
    """

    path: str
    source_bytes: int
    bytes: int
    weights: tuple[WeightRow, ...]
    backend: str
    calibration: CalibrationReport | None = None
    arithmetic: str = "float"
    float_operators: tuple[str, ...] = ()
    answers: AnswersReport | None = None
    warnings: tuple[str, ...] = ()
    front_error: float | None = None

    @property
    def recurrent_float(self) -> tuple[WeightRow, ...]:
        """Recurrent weights that could not be quantized; weights that were asked to stay float do not count."""
        return tuple(w for w in self.weights if w.recurrent and w.reason)

    @property
    def moved(self) -> tuple[WeightRow, ...]:
        """Weights that got another precision than the one asked for."""
        return tuple(w for w in self.weights if w.asked and w.asked != w.precision)

    @property
    def coverage(self) -> float:
        """Fraction of all weights that are quantized, 0 to 1."""
        sizes = [(_size(w.shape), w.bits != FLOAT) for w in self.weights]
        return sum(size for size, quantized in sizes if quantized) / max(sum(size for size, _ in sizes), 1)

    def still_float(self, patterns: Sequence[str]) -> tuple[WeightRow, ...]:
        """Return the weights that are float although their name matches a pattern, e.g. `lstm.*`.

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
        """Return the report as values that JSON can hold."""
        return asdict(self) | {"coverage": self.coverage}


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
