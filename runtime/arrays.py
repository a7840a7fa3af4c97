"""Array types for annotations; docstrings give the shapes."""

from typing import Any

import numpy as np

# The same as numpy.typing.NDArray, whose import would add a millisecond to every start.
Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Floats = np.ndarray[tuple[Any, ...], np.dtype[np.float32]]
Answer = Array | dict[str, Array]  # an array for one output, a dict by name for several
