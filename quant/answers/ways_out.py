"""What to do if the answers err too much: precisions of which a trial has shown that they err less."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...runtime.errors import QuantizationError
from ...runtime.operators.matrix import FLOAT
from ..file.weights import Weight
from ..rounding.choice import Choice, all_nearest
from ..rounding.precision import Precision

BOUND = 0.1  # relative root mean square: an error-to-signal ratio of 0.01
Measure = Callable[[Choice], float]  # the error of the answers


def way_out(
    weights: Sequence[Weight], choice: Choice, measure: Measure, bound: float = BOUND, *, leave_out: str = ""
) -> str:
    """Return the smallest change of options that brings the error of the answers to the bound, in words.

    First an option is left out, then activations get 16 bits, then also the weights that matter most, then all
    weights.

    Args:
        weights: The weights of the float graph.
        choice: The choice whose answers err too much.
        measure: Returns the error of the answers of a choice, without the option that is left out.
        bound: The most error.
        leave_out: An option that adds to the error, such as ranges; empty if there is none.

    Returns:
        The change, and the error that it was measured to have; empty if no change is enough.
    """
    for words, other in _changes(weights, choice, measure, bound, leave_out):
        error = _error(measure, other)
        if error <= bound:
            return f"{' and '.join(words)}: then they err by {percent(error)}"
    return ""


def _changes(
    weights: Sequence[Weight], choice: Choice, measure: Measure, bound: float, leave_out: str
) -> Iterator[tuple[list[str], Choice]]:
    """Give the changes to try, each in words and as a choice. The later ones contain the earlier ones."""
    words = []
    if leave_out:
        words.append(f"leave {leave_out} out")
        yield words, choice
    calm = _with_16_bit_activations(choice)
    if calm.precisions != choice.precisions:
        words.append("choose 16-bit activations (A16 in place of A8)")
        yield words, calm
    for names, raised in _raised(weights, calm, measure, bound):
        patterns = ", ".join(f"{name}=W16A16" for name in names)
        yield [*words, f"choose precision {patterns}"], raised


def percent(error: float) -> str:
    """Return an error as a percentage with two significant digits."""
    return f"{100 * error:.2g}%" if error < 1 else f"{100 * error:.0f}%"


def _error(measure: Measure, choice: Choice) -> float:
    try:
        return measure(choice)
    except QuantizationError:  # e.g. an operator set that does not have 16 bits
        return np.inf


def _with_16_bit_activations(choice: Choice) -> Choice:
    """Return the same codes, read with activations of 16 bits."""
    precisions = {name: _calm(one) for name, one in choice.precisions.items()}
    codes = {name: replace(one, precision=_calm(one.precision)) for name, one in choice.codes.items()}
    return replace(choice, precisions=precisions, codes=codes)


def _calm(precision: Precision) -> Precision:
    return precision if precision.weight_bits == FLOAT else replace(precision, activation_bits=16)


def _raised(
    weights: Sequence[Weight], choice: Choice, measure: Measure, bound: float
) -> Iterator[tuple[list[str], Choice]]:
    """Give names of weights and a choice in which they have 16 bits: the fewest that may be enough, then all."""
    low = [w.name for w in weights if not w.reason and choice.precisions[w.name].weight_bits < 16]
    errors = {name: _error(measure, _only(name, choice.precisions)) for name in low}
    worst_first = sorted(low, key=lambda name: -errors[name])
    left = [sum(errors[name] ** 2 for name in worst_first[count:]) for count in range(len(low))]
    fewest = next((count for count in range(1, len(low)) if left[count] <= bound**2), len(low))
    for count in dict.fromkeys((fewest, len(low))) if low else ():
        names = worst_first[:count]
        yield names, all_nearest(dict(choice.precisions) | dict.fromkeys(names, Precision(16)))


def _only(name: str, precisions: Mapping[str, Precision]) -> Choice:
    """Return the choice in which only one weight is quantized."""
    return all_nearest({other: one if other == name else Precision(FLOAT) for other, one in precisions.items()})
