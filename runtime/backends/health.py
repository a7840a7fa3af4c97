"""How a stream is, from its states."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..streams import Health

if TYPE_CHECKING:  # a program that streams a plan does not import contracts
    from ..contract import Contract

NEAR = 0.99
BOUNDS = {"h": NEAR, "c": float(np.arctanh(NEAR))}  # the magnitude from which a value counts as saturated, by kind


def health_of(contract: "Contract", state: Mapping[str, Array], frames: int) -> Health:
    """Return how a stream is; see `runtime.streams.Health`."""
    norms, saturated = {}, {}
    for each in contract.states:
        values = np.abs(state[each.input].ravel())
        norms[each.input] = float(np.sqrt(np.mean(values * values))) if values.size else 0.0
        if each.kind in BOUNDS:
            saturated[each.input] = float(np.count_nonzero(values >= BOUNDS[each.kind]) / max(values.size, 1))
    return Health(frames, norms, saturated)
