"""The machine without a runtime: a step function that does nothing.

In an open loop even this has a latency: the system wakes the process late, and its data is no longer in the caches.
The tables show it, because it is part of the latency of every peer.
"""

from .job import Floats, Job, Step, Variant

PACKAGES = ("numpy",)
VARIANTS = (Variant("alone", "empty step"),)


def load(_: Job, __: Variant) -> Step:
    """Return a step function that does nothing and returns None."""

    def step(_: Floats) -> None:
        return None

    return step
