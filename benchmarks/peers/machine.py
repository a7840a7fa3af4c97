"""The machine alone: no runtime, a step that does nothing.

In an open loop even that has a latency: the system wakes a process late, and the caches have forgotten it. It stands in
the same table as what any runtime adds to.
"""

from .job import Floats, Job, Step, Variant

PACKAGES = ("numpy",)
VARIANTS = (Variant("alone", "empty step"),)


def load(_: Job, __: Variant) -> Step:
    """Return a step that answers nothing."""

    def step(_: Floats) -> None:
        return None

    return step
