"""Precisions: bits of weights and activations in the usual notation, e.g. W4A16g32."""

import re
from dataclasses import dataclass
from typing import Self

from ...runtime.errors import QuantizationError
from ...runtime.operators.matrix import FLOAT

NOTATION = re.compile(r"W(4|8|16)A(8|16)(?:g(8|32))?")


@dataclass(frozen=True)
class Precision:
    """The bits of a weight matrix and of the activations that it multiplies.

    Attributes:
        weight_bits: 4, 8 or 16; 32 for float32, which has no codes and multiplies floats.
        activation_bits: The most bits of the activations, 8 or 16.
        group: Inputs that share a scale, 8 or 32; 0: all of an output channel.
    """

    weight_bits: int = 8
    activation_bits: int = 16
    group: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a precision such as `W4A8` or `W4A16g32`, or `float32`.

        Raises:
            QuantizationError: The text is not a precision.
        """
        if text == "float32":
            return cls(FLOAT)
        found = NOTATION.fullmatch(text)
        if found is None:
            raise QuantizationError(
                f"precision is {text!r}, wanted W4, W8 or W16, then A8 or A16, then g8, g32 or nothing: "
                "W8A16, W4A8g32; or float32"
            )
        return cls(*(int(number or 0) for number in found.groups()))

    def __str__(self) -> str:
        """Return the notation that `parse` reads."""
        if self.weight_bits == FLOAT:
            return "float32"
        return f"W{self.weight_bits}A{self.activation_bits}" + (f"g{self.group}" if self.group else "")
