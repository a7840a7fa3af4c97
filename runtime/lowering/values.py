"""What the values of a streaming graph are while it is lowered, and what their axes count."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, Floats
from ..operators import Slot

# What an axis counts; ONE has size 1, and LAYER is only in the axes of `Layers`.
TIME, BATCH, FEATURE, ONE, LAYER = "time", "batch", "feature", "one", "layer"
NEWEST = "newest"  # among sizes: the number of the last frame of a push, one less than TIME


@dataclass(frozen=True)
class Signal:
    """A value of the program, with the meaning of each axis of its tensor."""

    value: int
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Ids(Signal):
    """Ids, which only tables read: the input itself, or a feature of it.

    Attributes:
        feature: The feature that holds the id of a frame; 0 if the input is ids.
    """

    feature: int = 0


@dataclass(frozen=True, eq=False)
class Grid:
    """A view of a value whose frames have several axes, for example channels and bins.

    Attributes:
        value: The value, a vector of features.
        axes: What the axes of the tensor count, as of a `Signal`; several of them are features.
        places: For each place of the tensor the feature of the value there, -1 for a zero. Each of `axes` has its axis
            here, of size 1 for time, batch and one.
    """

    value: int
    axes: tuple[str, ...]
    places: Array


@dataclass(frozen=True)
class Carried:
    """Entries of a state input, from which nodes start."""

    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class CellOf:
    """The final c of a forward LSTM: the value of its answers, and its units."""

    value: int
    units: int


@dataclass(frozen=True)
class Final:
    """Final states of nodes.

    Attributes:
        values: For each final h the value whose last frame it is; the same for a final c that a layer gives for every
            frame, else its layer; None for other states. Those of a backward node are the first frame of its block.
        slots: The place of each state; HIDDEN for a backward node.
        axes: What the axes of the tensor count.
    """

    values: tuple[int | CellOf | None, ...]
    slots: tuple[Slot, ...]
    axes: tuple[str, ...]


@dataclass(frozen=True)
class Layers:
    """A value of several layers: one part for each, all with the axes of the whole tensor, LAYER among them."""

    parts: tuple[Signal | Final, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """What the axes of the tensor count."""
        return self.parts[0].axes


@dataclass(frozen=True)
class Extended:
    """The input of a convolution: the tail of earlier frames, joined with the frames of a push.

    Attributes:
        slot: The state that carries the tail.
        signal: The frames of the push.
        frames: The length of the tail.
    """

    slot: Slot
    signal: Signal | Grid
    frames: int


@dataclass(frozen=True)
class Activations:
    """How the activations of a quantized weight become integers.

    Attributes:
        bits: The most bits.
        range: The largest magnitude, from calibration. None: the largest magnitude of each frame, or 1 for an h within
            (-1, 1).
    """

    bits: int = 16
    range: np.float32 | None = None


@dataclass(frozen=True, eq=False)
class Weights:
    """Constant weights: codes and their scales, or floats.

    Attributes:
        codes: int8 or int16 of any shape; float32 for 32 bits.
        scales: float32, with as many axes as the codes; along an axis of size 1 they are shared.
        bits: 4, 8, 16 or 32.
        axis: The axis along which scales differ. Blocks are cut along it.
        block: Codes along `axis` that share a scale; 0: no blocks.
        activations: How their activations become integers.
        name: Their name in the node that reads them.
    """

    codes: Array
    scales: Floats
    bits: int
    axis: int = 0
    block: int = 0
    activations: Activations = Activations()
    name: str = ""


@dataclass(frozen=True)
class AxisSizes:
    """A tensor that holds sizes of axes: numbers, or TIME, BATCH and NEWEST, which are known only in a push."""

    items: tuple[int | str, ...]

    def numbers(self) -> list[int] | None:
        """Return the sizes; None if one of them is known only in a push."""
        known = [size for size in self.items if isinstance(size, int)]
        return known if len(known) == len(self.items) else None


Value = Signal | Grid | Layers | Carried | Final | Extended | Weights | AxisSizes


def steady_axes(sizes: Sequence[int | str]) -> tuple[str, ...]:
    """Return what the axes of a vector of features count: sizes with a name by their names, a single number is one."""
    axes = [size if isinstance(size, str) else ONE if size == 1 else FEATURE for size in sizes]
    if FEATURE not in axes and ONE in axes:
        axes[len(axes) - 1 - axes[::-1].index(ONE)] = FEATURE
    return tuple(axes)
