"""What a quantization did: a row for each weight matrix."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class WeightRow:
    """One weight matrix.

    Attributes:
        name: Its name in the file.
        operator: The operator that reads it.
        recurrent: Whether that is a recurrent layer.
        shape: Rows and columns.
        bits: 8, or 32 where it stayed float.
        error: Root mean square of the rounding error, relative to that of the weights.
        reason: Why it stayed float; empty when it did not.
    """

    name: str
    operator: str
    recurrent: bool
    shape: tuple[int, ...]
    bits: int
    error: float
    reason: str = ""


@dataclass(frozen=True)
class QuantizationReport:
    """What became of each weight, and of the file.

    Attributes:
        path: The file written.
        source_bytes: Size of the float file.
        bytes: Size of the quantized file.
        activation_bits: Most bits of activations on tidegate's engine.
        weights: A row for each weight matrix.
        backend: What the written file was loaded and run on.
    """

    path: str
    source_bytes: int
    bytes: int
    activation_bits: int
    weights: tuple[WeightRow, ...]
    backend: str

    @property
    def recurrent_float(self) -> tuple[WeightRow, ...]:
        """Recurrent weights that stayed float; empty when all were quantized."""
        return tuple(w for w in self.weights if w.recurrent and w.bits == 32)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self)
