"""Array types for annotations; docstrings give the shapes. Answers of several pushes become one."""

from collections.abc import Mapping, Sequence
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


def as_integers(values: Array) -> Array:
    """Return whole numbers as int64; numbers of which one is not whole, or above 2^53, as they are."""
    whole = (np.abs(values) <= 2.0**53) & (values == np.trunc(values))
    return values.astype(np.int64) if np.all(whole) else values


def joined_answers(answers: Sequence[Answer], timed: Mapping[str, bool]) -> Answer:
    """Return the answers of pushes in a row as that of one push.

    Args:
        answers: At least one.
        timed: By output, whether it has a time axis; of one without, the last answer counts.
    """
    if len(answers) == 1:
        return answers[0]
    if not isinstance(answers[0], dict):
        return np.concatenate(answers) if all(timed.values()) else answers[-1]
    return {
        name: np.concatenate([answer[name] for answer in answers]) if its else answers[-1][name]
        for name, its in timed.items()
    }
