"""The table of tanh in C, which integer gates use."""

import numpy as np
from kernels.building import KERNELS
from tidegate.runtime.operators.numbers import fixed


def test_c_table_equals_the_table_of_the_specification() -> None:
    text = (KERNELS / "src" / "fixed.c").read_text()
    values = text.partition("tide_tanh_table[TABLE_PLACES + 1] = {")[2].partition("}")[0]
    np.testing.assert_array_equal(np.array(values.split(","), np.int64), fixed.tanh_table())
