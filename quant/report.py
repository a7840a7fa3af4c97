"""What a quantization did: a row for each weight matrix."""

from dataclasses import asdict, dataclass
from typing import Any

from ..runtime.precision import Precision


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

    @property
    def precision(self) -> str:
        """Return its precision in the field's notation, e.g. W4A16g32 or float32."""
        return str(Precision(self.bits, self.activation_bits, self.group))


@dataclass(frozen=True)
class QuantizationReport:
    """What became of each weight, and of the file.

    Attributes:
        path: The file written.
        source_bytes: Size of the float file.
        bytes: Size of the quantized file.
        weights: A row for each weight matrix.
        backend: What the written file was loaded and run on.
    """

    path: str
    source_bytes: int
    bytes: int
    weights: tuple[WeightRow, ...]
    backend: str

    @property
    def recurrent_float(self) -> tuple[WeightRow, ...]:
        """Recurrent weights that could not be quantized; empty when all were, or were to stay float."""
        return tuple(w for w in self.weights if w.recurrent and w.reason)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self)
