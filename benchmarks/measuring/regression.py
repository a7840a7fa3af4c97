"""Compares two results and names the rows that became slower by more than their intervals explain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..peers import MACHINE, OTHER_BUILD
from ..tables import Table, micro
from .results import Result, Row

WORTH = 0.05  # a smaller change of the median counts as no change


@dataclass(frozen=True)
class Change:
    """The same row in two results, or the rows of two builds in one result.

    Attributes:
        before: The row of the first result or build.
        after: The row of the second.
        ratios: For two builds that ran in turns: time of the second / time of the first, one ratio per process.
            Empty for two results.
    """

    before: Row
    after: Row
    ratios: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """The second's time / the first's time: 1.1 is 10 % longer.

        It is the ratio of the medians; for builds in turns it is the median of `ratios`.
        """
        if self.ratios:
            return float(np.median(self.ratios))
        return (self.after.p50_us or 0.0) / (self.before.p50_us or 1.0)  # `changes` pairs rows with figures

    @property
    def apart(self) -> bool:
        """Whether the difference is larger than chance explains, with the confidence that the rows state.

        For two results, the intervals must not overlap. For builds in turns, the ratios of all pairs of processes must
        be on the same side of 1: the builds met the same conditions, so that their intervals may overlap.
        """
        if self.ratios:
            return min(self.ratios) > 1 or max(self.ratios) < 1
        if self.before.interval_us is None or self.after.interval_us is None:
            return False
        return (
            self.after.interval_us[0] > self.before.interval_us[1]
            or self.after.interval_us[1] < self.before.interval_us[0]
        )

    @property
    def verdict(self) -> str:
        """`slower` or `faster` if the rows are apart and the change is at least WORTH; else `same`."""
        if not self.apart or abs(self.ratio - 1) < WORTH:
            return "same"
        return "slower" if self.ratio > 1 else "faster"

    def to_dict(self) -> dict[str, Any]:
        """Return the change as values that JSON can hold."""
        return {
            "name": self.after.name,
            "case": self.after.case,
            "steps": self.after.steps,
            "loop": self.after.loop,
            "before_us": self.before.p50_us,
            "after_us": self.after.p50_us,
            "ratio": self.ratio,
            "verdict": self.verdict,
        }


def changes(before: Result, after: Result) -> list[Change]:
    """Return the changes of all rows that both results have with figures, in the order of the second result.

    The rows of the machine alone are left out.
    """
    known = {row.key: row for row in before.rows if row.p50_us and row.peer != MACHINE}
    return [Change(known[row.key], row) for row in after.rows if row.p50_us and row.key in known]


def builds(result: Result) -> list[Change]:
    """Return the changes from the other build (`before`) to this one (`after`) in a result of both."""
    others = tuple(replace(row, peer="tidegate") for row in result.rows if row.peer == OTHER_BUILD)
    return [replace(one, ratios=_ratios(one)) for one in changes(replace(result, rows=others), result)]


def _ratios(change: Change) -> tuple[float, ...]:
    """Return, for each pair of processes, the median over its turns of the second's time / the first's time."""
    turns = np.divide(change.after.turns_us, change.before.turns_us)
    return tuple(float(np.median(part)) for part in np.split(turns, change.after.processes))


def regressions(found: Sequence[Change]) -> list[Change]:
    """Return the changes whose verdict is `slower`."""
    return [change for change in found if change.verdict == "slower"]


def table(found: Sequence[Change]) -> Table:
    """Return the table of changes, one row per change."""
    rows = [
        [
            f"{change.after.case} T={change.after.steps}, {change.after.name}",
            *(_interval(row) for row in (change.before, change.after)),
            f"{change.ratio:.2f}",
            change.verdict,
        ]
        for change in found
    ]
    return Table("Median microseconds per chunk, with its interval", ["|", "before", "after", "ratio", "|"], rows)


def _interval(row: Row) -> str:
    assert row.p50_us is not None  # noqa: S101  `changes` pairs rows with figures
    if row.interval_us is None:
        return micro(row.p50_us)
    return f"{micro(row.p50_us)} [{micro(row.interval_us[0])}, {micro(row.interval_us[1])}]"
