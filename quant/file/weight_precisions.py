"""Which weight gets which precision."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from ...runtime.errors import QuantizationError
from ...runtime.precision import Precision
from .weights import Weight

DEFAULT = "W8A16"


def choose(asked: str | Mapping[str, str], weights: Sequence[Weight]) -> dict[str, Precision]:
    """Return the precision of each weight by its name; a group that holds a whole row is none.

    Args:
        asked: One precision, or one for each pattern; of those that match a name the last counts, `*` being
            the first wherever it stands.
        weights: The weights of the graph.

    Raises:
        QuantizationError: There is no such precision, or a pattern matches no weight.
    """
    patterns = {"*": DEFAULT} | ({"*": asked} if isinstance(asked, str) else dict(asked))
    precisions = {pattern: Precision.parse(text) for pattern, text in patterns.items()}
    names = [weight.name for weight in weights]
    for pattern in patterns:
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
            raise QuantizationError(f"no weight matches {pattern!r}; there are {', '.join(names)}")
    chosen = {w.name: [p for key, p in precisions.items() if fnmatchcase(w.name, key)][-1] for w in weights}
    return {w.name: _fitted(chosen[w.name], w) for w in weights}


def pinned(asked: str | Mapping[str, str], weights: Sequence[Weight]) -> set[str]:
    """Return the names of weights whose precision was asked for by a pattern of their own, not by `*`."""
    patterns = [] if isinstance(asked, str) else [pattern for pattern in asked if pattern != "*"]
    return {weight.name for weight in weights if any(fnmatchcase(weight.name, pattern) for pattern in patterns)}


def _fitted(precision: Precision, weight: Weight) -> Precision:
    if weight.reason:
        return precision
    whole = not weight.blocked or weight.values.shape[weight.columns_axis] <= precision.group
    return replace(precision, group=0) if whole else precision
