"""The precision of each weight, from the patterns that the user gives."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from glob import escape

import numpy as np

from ...runtime.errors import QuantizationError
from ...runtime.operators.matrix import FLOAT, LARGEST_CODE
from ..rounding.nearest import LARGEST_SCALE
from ..rounding.precision import Precision
from .weights import Weight

DEFAULT = "W8A16"


def choose(
    asked: str | Mapping[str, str], weights: Sequence[Weight], fixed: Collection[str] = ()
) -> dict[str, Precision]:
    """Return the precision of each weight by its name.

    A group as long as all inputs of a weight becomes one scale per output channel.

    Args:
        asked: One precision, or a mapping from patterns of names to precisions. The last match wins; `*` counts as
            the first pattern, wherever it is.
        weights: The weights of the graph.
        fixed: The weights of front ends: float32, unless a pattern other than `*` matches.

    Raises:
        QuantizationError: A precision does not exist, a pattern matches no weight, or a weight is too large for codes.
    """
    patterns = {"*": DEFAULT} | ({"*": asked} if isinstance(asked, str) else dict(asked))
    precisions = {pattern: Precision.parse(text) for pattern, text in patterns.items()}
    names = [weight.name for weight in weights]
    for pattern in patterns:
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
            raise QuantizationError(f"no weight matches {pattern!r}; there are {', '.join(names)}")
    patterns = {"*": patterns.pop("*"), **dict.fromkeys(map(escape, fixed), "float32"), **patterns}
    precisions = {pattern: Precision.parse(text) for pattern, text in patterns.items()}
    chosen = {w.name: [p for key, p in precisions.items() if fnmatchcase(w.name, key)][-1] for w in weights}
    for weight in weights:
        _refuse_too_large(weight, chosen[weight.name])
    return {w.name: _fitted(chosen[w.name], w) for w in weights}


def pinned(asked: str | Mapping[str, str], weights: Sequence[Weight], fixed: Collection[str] = ()) -> set[str]:
    """Return the names of the weights that match a pattern other than `*`, or are fixed: they keep their precision."""
    patterns = list(map(escape, fixed))
    patterns += [] if isinstance(asked, str) else [pattern for pattern in asked if pattern != "*"]
    return {weight.name for weight in weights if any(fnmatchcase(weight.name, pattern) for pattern in patterns)}


def _refuse_too_large(weight: Weight, precision: Precision) -> None:
    """Refuse a weight that the largest code with the largest scale does not reach: it would be clipped."""
    if weight.reason or precision.weight_bits == FLOAT:
        return
    largest = float(np.max(np.abs(weight.values), initial=0))
    most = LARGEST_CODE[precision.weight_bits] * float(LARGEST_SCALE)
    if largest > most:
        raise QuantizationError(
            f"{weight.operator}: weight {weight.name!r} holds {largest:.3g}, and codes of {precision.weight_bits} bits "
            f"reach {most:.3g}; train or export it again, or leave it float (precision {weight.name}=float32)"
        )


def _fitted(precision: Precision, weight: Weight) -> Precision:
    """Return the precision, without its group if groups are impossible or hold all inputs of the weight."""
    if weight.reason:
        return precision
    whole = not weight.groupable or weight.values.shape[weight.input_axis] <= precision.group
    return replace(precision, group=0) if whole else precision
