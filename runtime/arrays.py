"""The array types of annotations; shapes stand in docstrings."""

from typing import Any

import numpy as np

# What numpy.typing.NDArray stands for; importing that takes a millisecond of every start.
Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Floats = np.ndarray[tuple[Any, ...], np.dtype[np.float32]]
Answer = Array | dict[str, Array]  # of one output, or of several by name
