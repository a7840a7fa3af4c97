"""Mixed precision: what each precision of each weight costs and does to the output, and the best choice in a budget."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.operators.matrix import FLOAT
from .precision import Precision

LADDER = ((4, 0), (4, 32), (4, 8), (8, 0), (8, 32), (8, 8), (16, 0))  # bits and group sizes to choose from
WORTH = 1.01  # bytes that lower the error by less than a hundredth are not spent
FRONTIER = 2000  # assignments that are kept; of two that cost about the same, the better one


@dataclass(frozen=True)
class Option:
    """One precision that a weight may get.

    Attributes:
        precision: The precision.
        bytes: Size of its codes and scales.
        error: Relative root mean square error of the output if only this weight is quantized.
    """

    precision: Precision
    bytes: int
    error: float


@dataclass(frozen=True)
class Assignment:
    """A precision for each weight.

    Attributes:
        bytes: Size of all codes and scales.
        error: The root of the sum of the squared errors, as if the errors were independent.
        chosen: The precisions, in the order of the weights.
    """

    bytes: int
    error: float
    chosen: tuple[Precision, ...]


def bytes_of(shape: tuple[int, ...], precision: Precision) -> int:
    """Return the size of a weight's codes and scales in a file; its shape is `(channels, inputs)`."""
    channels, inputs = shape
    if precision.weight_bits == FLOAT:
        return 4 * channels * inputs
    groups = -(-inputs // precision.group) if precision.group else 1
    return -(-channels * inputs * precision.weight_bits // 8) + 4 * channels * groups


def ladder(base: Precision, shape: tuple[int, int], *, groupable: bool, upwards: bool) -> list[Precision]:
    """Return the precisions that a weight may get, the one asked for first.

    Args:
        base: The precision asked for.
        shape: Output channels and inputs.
        groupable: Whether groups of its inputs can share a scale.
        upwards: Whether to offer only precisions with at least as many bits and more bytes.
    """
    found = [base]
    for bits, group in LADDER:
        one = Precision(bits, base.activation_bits, group)
        fits = not group or (groupable and group < shape[1])
        worth = not upwards or (bits >= base.weight_bits and bytes_of(shape, one) > bytes_of(shape, base))
        if fits and worth and one not in found:
            found.append(one)
    return found


def frontier(options: Sequence[Sequence[Option]]) -> list[Assignment]:
    """Return the assignments that no other one beats in both bytes and error, the cheapest first."""
    best = [Assignment(0, 0.0, ())]
    for own in options:
        joined = [
            Assignment(a.bytes + o.bytes, (a.error**2 + o.error**2) ** 0.5, (*a.chosen, o.precision))
            for a in best
            for o in own
        ]
        best = _undominated(joined)
    return best


def within(assignments: Sequence[Assignment], most_bytes: float, most_error: float) -> Assignment | None:
    """Return the best assignment in a budget; None if there is none.

    Args:
        assignments: A frontier.
        most_bytes: Most bytes.
        most_error: If not 0, return the cheapest assignment that errs by at most this. If 0, return the one that errs
            least, without the bytes that are not worth it.
    """
    affordable = [a for a in assignments if a.bytes <= most_bytes]
    good = [a for a in affordable if a.error <= most_error]
    if most_error:
        return good[0] if good else None
    return next((a for a in affordable if a.error <= WORTH * affordable[-1].error), None)


def _undominated(assignments: list[Assignment]) -> list[Assignment]:
    kept: list[Assignment] = []
    for one in sorted(assignments, key=lambda a: (a.bytes, a.error)):
        if not kept or one.error < kept[-1].error:
            kept.append(one)
    if len(kept) <= FRONTIER:
        return kept
    buckets: dict[int, Assignment] = {}
    span = kept[-1].bytes - kept[0].bytes
    for one in kept:
        buckets.setdefault((one.bytes - kept[0].bytes) * FRONTIER // (span + 1), one)
    return list(buckets.values())
