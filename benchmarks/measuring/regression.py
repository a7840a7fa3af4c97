"""Two results, row by row: what became slower, beyond what their intervals explain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..peers import MACHINE, OTHER_BUILD
from ..tables import Table, micro
from .results import Result, Row

WORTH = 0.05  # a change of the median below this is none


@dataclass(frozen=True)
class Change:
    """One row in two results, or of two builds in one.

    Attributes:
        before: In the first.
        after: In the second.
        ratios: Of builds that ran in turns, how much longer the second took, a process after the other; else empty.
    """

    before: Row
    after: Row
    ratios: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """How much longer the second takes: 1.1 is 10 % longer. By the medians, of builds in turns over processes."""
        if self.ratios:
            return float(np.median(self.ratios))
        return (self.after.p50_us or 0.0) / (self.before.p50_us or 1.0)  # `changes` pairs rows with figures

    @property
    def apart(self) -> bool:
        """Whether the medians of all processes differ in one direction, with the confidence that the rows state.

        Of two results the intervals must not touch. Builds in turns met the same moods of the machine: there the ratio
        of each pair of processes must lie on one side of 1.
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
        """`slower` or `faster` where the intervals are apart and the change is worth a word; else `same`."""
        if not self.apart or abs(self.ratio - 1) < WORTH:
            return "same"
        return "slower" if self.ratio > 1 else "faster"

    def to_dict(self) -> dict[str, Any]:
        """Return the change as JSON-ready values."""
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
    """Return the rows that both have, those with figures, in the order of the second; the machine's own is none."""
    known = {row.key: row for row in before.rows if row.p50_us and row.peer != MACHINE}
    return [Change(known[row.key], row) for row in after.rows if row.p50_us and row.key in known]


def builds(result: Result) -> list[Change]:
    """Return the rows of this build that another one ran beside, in turns: before is the other's."""
    others = tuple(replace(row, peer="tidegate") for row in result.rows if row.peer == OTHER_BUILD)
    return [replace(one, ratios=_ratios(one)) for one in changes(replace(result, rows=others), result)]


def _ratios(change: Change) -> tuple[float, ...]:
    """Return the median ratio of the turns of each pair of processes."""
    turns = np.divide(change.after.turns_us, change.before.turns_us)
    return tuple(float(np.median(part)) for part in np.split(turns, change.after.processes))


def regressions(found: Sequence[Change]) -> list[Change]:
    """Return what became slower."""
    return [change for change in found if change.verdict == "slower"]


def table(found: Sequence[Change]) -> Table:
    """Return the table of changes."""
    rows = [
        [
            f"{change.after.case} T={change.after.steps}, {change.after.name}",
            *(_interval(row) for row in (change.before, change.after)),
            f"{change.ratio:.2f}",
            change.verdict,
        ]
        for change in found
    ]
    return Table("Median microseconds a chunk, with its interval", ["|", "before", "after", "ratio", "|"], rows)


def _interval(row: Row) -> str:
    assert row.p50_us is not None  # noqa: S101  `changes` pairs rows with figures
    if row.interval_us is None:
        return micro(row.p50_us)
    return f"{micro(row.p50_us)} [{micro(row.interval_us[0])}, {micro(row.interval_us[1])}]"
