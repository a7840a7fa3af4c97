"""The notation of precisions."""

from itertools import product

import pytest
from tidegate.quant.rounding.precision import Precision
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.operators.matrix import FLOAT

ALL = [f"W{w}A{a}{group}" for w, a, group in product((4, 8, 16), (8, 16), ("", "g8", "g32"))]


@pytest.mark.parametrize("text", [*ALL, "float32"])
def test_a_precision_is_written_as_it_is_read(text: str) -> None:
    assert str(Precision.parse(text)) == text


def test_fields_are_bits_and_inputs_of_a_group() -> None:
    assert Precision.parse("W4A16g32") == Precision(4, 16, 32)
    assert Precision.parse("float32").weight_bits == FLOAT


@pytest.mark.parametrize("text", ["", "W8", "w8a16", "W2A16", "W8A32", "W8A16g16", "W8A16 ", "float"])
def test_other_texts_are_refused_with_the_notation(text: str) -> None:
    with pytest.raises(QuantizationError, match=f"precision is {text!r}, wanted W4, W8 or W16, then A8 or A16"):
        Precision.parse(text)
