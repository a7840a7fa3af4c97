"""Comparisons of a proof: largest differences, relative to the largest value, and their limits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...runtime.arrays import Array
from ...runtime.contract import Port
from ...runtime.errors import ExportError
from .rounding import Rounding

TOLERANCE = 1e-5  # of each frame, however small its rounding is
MARGIN = 32  # limit over the change that rounding makes; seen between valid programs of 20 models: up to 9
MOST = 1e-3  # a frame with a larger limit proves nothing, and is not judged
_SQUEEZE = "; squeeze() drops the axis of a single stream too: squeeze an axis by its number, e.g. squeeze(-1)"
TINY = 1e-30  # in place of a limit of 0
SMALL = 1e-2  # a larger error is no matter of tolerance


class RoundingError(ExportError):
    """An error is above its limit, but float32 rounding alone may give as much."""


class UnfiniteError(ExportError):
    """Answers of the original are not finite, so they prove nothing."""


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


@dataclass(frozen=True)
class Answer:
    """An output of a file.

    Attributes:
        name: Its name.
        values: Its values.
        time: The axis of frames; None if there is none.
        x: The signal from the zero state that it answers, with the axes of the file.
        start: The frame of `x` that is the first of the answer.
    """

    name: str
    values: Array
    time: int | None
    x: Array
    start: int = 0


@dataclass(frozen=True)
class Measured:
    """The error of an answer, in the frame whose error is the largest part of its limit.

    Attributes:
        error: Largest absolute difference in the frame over the largest absolute value wanted.
        limit: The limit of `error`.
        rounding: Whether float32 rounding alone may give an error above the limit.
        judged: Whether a frame has a limit up to MOST. If not, the error proves nothing.
    """

    error: float
    limit: float
    rounding: bool = False
    judged: bool = True

    @property
    def share(self) -> float:
        """The error as a part of its limit; -1 if it is not judged."""
        return -1.0 if not self.judged else self.error / max(self.limit, TINY)


@dataclass(frozen=True)
class Judge:
    """Compares answers with those wanted.

    Attributes:
        rounding: The rounding of the file; None if it is not known.
        tolerance: The largest error allowed, relative to the largest value. None: TOLERANCE, or in each frame MARGIN
            times the change that rounding makes, if that is more.
        option: The name of the tolerance for users.
        coarseness: How many times larger the limits are, because the answers are of coarser numbers than float32.
    """

    rounding: Rounding | None
    tolerance: float | None = None
    option: str = "tolerance"
    coarseness: float = 1.0

    @property
    def base(self) -> float:
        """The limit of a frame that rounding does not move."""
        return self.coarseness * TOLERANCE if self.tolerance is None else self.tolerance

    def measure(self, seen: Answer, wanted: Array, largest: float | None = None) -> Measured:
        """Return the error of an answer of the right shape, relative to a largest value; None: that of `wanted`."""
        largest = float(np.abs(wanted).max(initial=0.0)) if largest is None else largest
        errors = frame_errors(seen.values, wanted, seen.time, largest)
        error, limit = float(errors.max(initial=0.0)), self.base
        if error <= limit or self.rounding is None:
            return Measured(error, limit)
        changes = np.atleast_1d(self.rounding.changes(seen.x)[seen.name])
        changes = changes if seen.time is None else changes[seen.start :][: len(errors)]
        margin = self.coarseness * MARGIN
        limits = np.maximum(limit, margin * np.where(np.isfinite(changes), changes, 0) / (largest or 1.0))
        judged = (limits <= self.coarseness * MOST) | ~np.isfinite(errors)
        if self.tolerance is not None or not judged.any():
            return Measured(error, limit, bool(np.all((errors <= limits) | ~judged)), bool(judged.any()))
        nearest = int(np.argmax(np.where(judged, errors / limits, -1)))
        return Measured(float(errors[nearest]), float(limits[nearest]))

    def compare(self, seen: Answer, wanted: Array, frame: int) -> Measured:
        """Return the error of an answer.

        Args:
            seen: The answer.
            wanted: The values wanted.
            frame: The frame that an answer without a time axis belongs to, for messages.

        Raises:
            ExportError: The shapes differ, or the error is above its limit.
        """
        values = seen.values
        if values.shape != wanted.shape:
            way_out = "" if values.ndim == wanted.ndim else _SQUEEZE
            raise ExportError(
                f"output {seen.name!r} has shape {list(values.shape)}, wanted {list(wanted.shape)}{way_out}"
            )
        found = self.measure(seen, wanted)
        if self.tolerance is None and not found.judged:
            return found
        if found.error > found.limit:
            index = first_bad(values, wanted, seen.time, found.limit)
            place = f"{list(index)}, frame {frame if seen.time is None else seen.start + index[seen.time]}"
            raise (RoundingError if found.rounding else ExportError)(
                f"output {seen.name!r} at {place}: seen {values[index]:.7g}, wanted {wanted[index]:.7g}; "
                f"error {found.error:.2g} of the largest value, at most {found.limit:.2g} allowed{self._advice(found)}"
            )
        return found

    def check(self, name: str, found: Sequence[Measured]) -> Check | None:
        """Return the check of several answers, each within its limit; None if rounding moves all of them too far."""
        nearest = max(found, key=lambda measured: measured.share)
        return Check(name, nearest.error, nearest.limit) if nearest.judged or self.tolerance is not None else None

    def proving(self, checks: Iterable[Check | None]) -> list[Check]:
        """Return the checks that were judged.

        Raises:
            RoundingError: There is none.
        """
        judged = [check for check in checks if check is not None]
        if not judged:
            raise RoundingError(
                f"float32 rounding alone moves all answers by more than {MOST / MARGIN:.0e} of the largest value, so "
                f"they prove nothing; set {self._asked}"
            )
        return judged

    def _advice(self, found: Measured) -> str:
        """Return the way out of an error above its limit, as text for messages; or ''."""
        if found.rounding:
            cause = "float32 rounding" if self.coarseness == 1 else "the rounding of the engine's activations"
            return f"; {cause} alone may give as much: set a larger {self._asked}, or leave it out"
        larger = "" if self.tolerance is None else "a larger "
        return f"; if so small a difference is right, set {larger}{self._asked}" if found.error <= SMALL else ""

    @property
    def _asked(self) -> str:
        return f"{self.option}= (--{self.option})"


def with_dropped_axes(wanted: Array, port: Port, shape: Sequence[int], streams: int) -> Array:
    """Return an original's answer with the axes that it lacks: those of a single stream, frame or feature.

    A squeeze() in a module drops the first two, and files give an axis of features to a single number.

    Args:
        wanted: The answer.
        port: Its output in the file.
        shape: The shape of the file's answer.
        streams: The streams of the signal.
    """
    features = [axis for axis in range(len(shape)) if axis not in (port.time_axis, port.batch_axis)]
    lacking = [port.time_axis, port.batch_axis if streams == 1 else None, *(features if len(features) == 1 else [])]
    single = [axis for axis in lacking if axis is not None and shape[axis] == 1]
    for count in range(1, len(single) + 1):
        for dropped in combinations(single, count):
            if tuple(size for axis, size in enumerate(shape) if axis not in dropped) == wanted.shape:
                return wanted.reshape(shape)
    return wanted


def peak_error(seen: Array, wanted: Array) -> float:
    """Return max|seen - wanted| / max|wanted|; infinite if a difference is not finite or all wanted are 0."""
    return float(frame_errors(seen, wanted, None, float(np.abs(wanted).max(initial=0.0)))[0])


def frame_errors(seen: Array, wanted: Array, time: int | None, largest: float) -> Array:
    """Return max|seen - wanted| of each frame over a largest value; float64 `[frames]`.

    An error is infinite if a difference is not finite, or if the largest value is 0.

    Args:
        seen: The values seen.
        wanted: The values wanted, of the same shape.
        time: The axis of frames; None: all values are one frame.
        largest: The largest value.
    """
    gap = difference(seen, wanted)
    frames = gap[None] if time is None else np.moveaxis(gap, time, 0)
    gaps = frames.max(tuple(range(1, frames.ndim)), initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(np.isfinite(gaps) & (largest > 0), gaps / largest, np.inf)
    return np.where(gaps == 0, 0.0, relative)


def difference(seen: Array, wanted: Array) -> Array:
    """Return |seen - wanted|, float64; infinite where it is not a number."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(seen.astype(np.float64) - wanted.astype(np.float64))
    return np.where(np.isnan(gap), np.inf, gap)


def first_bad(seen: Array, wanted: Array, axis: int | None, tolerance: float) -> tuple[int, ...]:
    """Return the index of the largest difference in the first frame that is wrong."""
    gap = difference(seen, wanted)
    if axis is not None:
        gap = np.moveaxis(gap, axis, 0)
        wrong = gap.reshape(len(gap), -1).max(1) > tolerance * np.abs(wanted).max()
        gap[int(np.argmax(wrong)) + 1 :] = -1
        gap[: int(np.argmax(wrong))] = -1
        gap = np.moveaxis(gap, 0, axis)
    return tuple(map(int, np.unravel_index(np.argmax(gap), gap.shape)))
