"""Mixed precision: how much each weight costs and what it does to the output, and the best choice for a budget."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.operators.matrix import FLOAT
from ...runtime.precision import Precision

LADDER = ((4, 0), (4, 32), (4, 8), (8, 0), (8, 32), (8, 8), (16, 0))  # bits and groups to choose from
WORTH = 1.01  # bytes that lower the error by less than a hundredth are not spent
FRONTIER = 2000  # assignments that are kept; of two that cost about the same the better


@dataclass(frozen=True)
class Option:
    """One precision of one weight.

    Attributes:
        precision: The precision.
        bytes: What codes and scales take.
        error: Relative root mean square error of the output where this weight alone is quantized.
    """

    precision: Precision
    bytes: int
    error: float


@dataclass(frozen=True)
class Assignment:
    """A precision for each weight.

    Attributes:
        bytes: What they take together.
        error: Their errors, as if independent.
        chosen: The precisions, in the order of the weights.
    """

    bytes: int
    error: float
    chosen: tuple[Precision, ...]


def bytes_of(shape: tuple[int, ...], precision: Precision) -> int:
    """Return what codes and scales of a weight take in a file."""
    rows, columns = shape
    if precision.weight_bits == FLOAT:
        return 4 * rows * columns
    groups = -(-columns // precision.group) if precision.group else 1
    return -(-rows * columns * precision.weight_bits // 8) + 4 * rows * groups


def ladder(base: Precision, shape: tuple[int, int], *, blocked: bool, upwards: bool) -> list[Precision]:
    """Return the precisions that a weight may get, its own first.

    Args:
        base: Its own.
        shape: Rows and columns.
        blocked: Whether groups of its inputs can share a scale.
        upwards: Whether only those with as many bits or more come into question.
    """
    found = [base]
    for bits, group in LADDER:
        one = Precision(bits, base.activation_bits, group)
        fits = not group or (blocked and group < shape[1])
        worth = not upwards or (bits >= base.weight_bits and bytes_of(shape, one) > bytes_of(shape, base))
        if fits and worth and one not in found:
            found.append(one)
    return found


def frontier(options: Sequence[Sequence[Option]]) -> list[Assignment]:
    """Return the assignments of which none is both cheaper and better, the cheapest first."""
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
    """Return the best assignment of at most so many bytes, or of those good enough the cheapest; None: there is none.

    Args:
        assignments: A frontier.
        most_bytes: Most bytes.
        most_error: An error that is good enough; 0: the less the better.
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
