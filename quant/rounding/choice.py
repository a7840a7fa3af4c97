"""What a quantization may spend, and what it chose: precisions, codes and corrections of biases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ...runtime.arrays import Floats
from .budget import Option
from .nearest import Rounded
from .precision import Precision

NEAREST = "nearest"


@dataclass(frozen=True)
class Budget:
    """What precisions may cost.

    Attributes:
        extra: How many more bytes may be spent, as a fraction of the bytes at the precisions asked for.
        most_bytes: Most bytes of the file. If given, precisions may fall as well as rise.
        most_error: Most error of the output on the held-out frames. If given, the cheapest precisions that meet it
            are chosen.
        other_bytes: Bytes of the file that are neither codes nor scales.
    """

    extra: float = 0.05
    most_bytes: int | None = None
    most_error: float | None = None
    other_bytes: int = 0

    @property
    def stated(self) -> bool:
        """Whether a limit of bytes or of the error is given."""
        return self.most_bytes is not None or self.most_error is not None


class Correction(NamedTuple):
    """Values to add to the biases of the operator that reads a weight.

    Attributes:
        weight: Name of the weight.
        added: Float32, one value per output channel.
        to_hidden: The same for the separate bias of R h; None if it stays as it is.
    """

    weight: str
    added: Floats
    to_hidden: Floats | None


@dataclass(frozen=True, eq=False)
class Choice:
    """What becomes of each weight. Mappings are by the weight's name.

    Attributes:
        precisions: The precision of every weight.
        method: The rounding method of `codes`.
        codes: The codes and scales that calibration made; weights without an entry are rounded to nearest.
        corrections: What is added to biases.
        candidates: Error of the output on the held-out frames, by method instead of by weight.
        options: The precisions that were measured for each weight.
        gates: Error of the output if only one gate of one weight is quantized.
        error: Error of the output on the held-out frames.
    """

    precisions: Mapping[str, Precision]
    method: str
    codes: Mapping[str, Rounded]
    corrections: list[Correction]
    candidates: dict[str, float]
    options: Mapping[str, list[Option]]
    gates: Mapping[str, dict[str, float]]
    error: float = 0.0


def all_nearest(precisions: Mapping[str, Precision]) -> Choice:
    """Return the choice that rounds every weight to nearest."""
    return Choice(precisions, NEAREST, {}, [], {}, {}, {})
