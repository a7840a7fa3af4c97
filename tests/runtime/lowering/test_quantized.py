"""Codes and scales that the engine does not have are refused by name."""

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError, UnsupportedError
from tools.drafts import HIDDEN, Build, Draft, of_weight, refuses

CODES = np.ones((HIDDEN, 3), np.int8)
SCALES = np.full(3, 0.01, np.float32)
BLOCKS = np.full((HIDDEN, 3), 0.01, np.float32)


def weight_computed(d: Draft) -> None:
    """Codes that the graph computes."""
    codes = d.add("Identity", "x")
    weight = d.add("DequantizeLinear", codes, d.tensor(1.0))
    d.answer(d.add("MatMul", d.layer("x"), weight))


def zero_point_computed(d: Draft) -> None:
    zero = d.add("Identity", "x")
    d.answer(d.add("MatMul", d.layer("x"), d.dequantize(CODES, SCALES, zero)))


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "computed codes": (weight_computed, UnsupportedError, "takes constant codes and scales"),
    "computed zero point": (zero_point_computed, UnsupportedError, "takes constant codes and scales"),
    "uint8": (of_weight(CODES.astype(np.uint8), SCALES), UnsupportedError, "weights are uint8, wanted int4, int8 or"),
    "zero point": (
        of_weight(CODES, SCALES, np.array([0, 1, 0], np.int8)),
        UnsupportedError,
        "weights are int8, wanted int4, int8 or int16 with zero point 0",
    ),
    "too few blocks": (of_weight(CODES, BLOCKS[:1], axis=0, block_size=4), UnsupportedError, "(1, 3), wanted (2, 3)"),
    "too few scales": (of_weight(CODES, SCALES[:2]), UnsupportedError, "its scales have shape (2,), wanted (3,)"),
    "no such axis": (of_weight(CODES, SCALES, axis=2), UnsupportedError, "axis is 2, block_size 0; its codes have 2"),
    "scales of float16": (
        of_weight(CODES, SCALES.astype(np.float16)),
        UnsupportedError,
        "scales are float16, wanted float32; export the model in float32",
    ),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])
