"""Comparisons of a proof: largest differences, relative to the largest value."""

from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array


@dataclass(frozen=True)
class Check:
    """One comparison of a proof.

    Attributes:
        name: What was compared.
        error: Largest absolute difference over the largest absolute value wanted.
        tolerance: The limit of `error`.
        must_differ: Whether `error` must exceed the limit, because a state was spoilt on purpose.
    """

    name: str
    error: float
    tolerance: float
    must_differ: bool = False

    @property
    def passed(self) -> bool:
        """Whether the error is on the right side of its limit."""
        return self.error > self.tolerance if self.must_differ else self.error <= self.tolerance


def peak_error(seen: Array, wanted: Array) -> float:
    """Return max|seen - wanted| / max|wanted|; infinite if a difference is not finite or all wanted are 0."""
    difference, largest = _difference(seen, wanted).max(initial=0.0), np.abs(wanted).max(initial=0.0)
    if difference == 0:
        return 0.0
    return float(difference / largest) if np.isfinite(difference) and largest > 0 else float("inf")


def _difference(seen: Array, wanted: Array) -> Array:
    with np.errstate(invalid="ignore"):
        gap = np.abs(seen.astype(np.float64) - wanted.astype(np.float64))
    return np.where(np.isnan(gap), np.inf, gap)


def first_bad(seen: Array, wanted: Array, axis: int | None, tolerance: float) -> tuple[int, ...]:
    """Return the index of the largest difference in the first frame that is wrong."""
    gap = _difference(seen, wanted)
    if axis is not None:
        gap = np.moveaxis(gap, axis, 0)
        wrong = gap.reshape(len(gap), -1).max(1) > tolerance * np.abs(wanted).max()
        gap[int(np.argmax(wrong)) + 1 :] = -1
        gap[: int(np.argmax(wrong))] = -1
        gap = np.moveaxis(gap, 0, axis)
    return tuple(map(int, np.unravel_index(np.argmax(gap), gap.shape)))
