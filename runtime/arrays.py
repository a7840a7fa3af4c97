"""Array types for annotations; docstrings give the shapes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# The same as numpy.typing.NDArray, whose import would add a millisecond to every start.
Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Floats = np.ndarray[tuple[Any, ...], np.dtype[np.float32]]
# The frames of a push: an array, or for a model with several signals an array of each by name.
Chunk = Array | Mapping[str, Array]
# An array for one output, a dict[str, Array] by name for several. Only the caller knows how many outputs its model has,
# so type checkers take either use, as they do for the groups of a regular expression's match: `Any` is the dict.
Answer = Array | Any
