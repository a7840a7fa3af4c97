"""What a recurrent node reads: the frames of the signal, or parts of each frame as steps or rows of a layer."""

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from ..operators import HIDDEN, Cell, Folded, Slot
from .grids import as_grid, moved, settled
from .trace import Trace, unsupported
from .values import BATCH, FEATURE, ONE, TIME, Final, Grid, Signal, Value


@dataclass(frozen=True)
class Sequence:
    """The input of a recurrent node.

    Attributes:
        value: Its frames, `[steps, rows, features]`.
        features: What each step of a row reads.
        steps: Steps inside a frame; 1 for a layer along time.
        rows: Rows of a frame, each with a state of its own.
        carried: Whether the state goes on with the next frame: the layer runs along time.
    """

    value: int
    features: int
    steps: int = 1
    rows: int = 1
    carried: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether each frame is one step of one row."""
        return self.carried and self.rows == 1


def sequence_of(trace: Trace, node: onnx.NodeProto) -> Sequence:
    """Return what a recurrent node reads: X of ONNX, `[steps, batch, features]`, with time as steps or in the batch."""
    known = trace.values.get(node.input[0])
    signal = known if isinstance(known, Grid) else trace.signal(node)
    axes = tuple(a if a != ONE else BATCH for a in signal.axes)
    if isinstance(signal, Signal) and axes == (TIME, BATCH, FEATURE):
        return Sequence(signal.value, trace.widths[signal.value])
    if len(axes) != 3 or TIME not in axes[:2] or axes[0] == BATCH:
        raise unsupported(
            node,
            f"its input has axes ({', '.join(signal.axes)}), wanted (time, batch, feature), or time and one more axis "
            "of the frame before the features",
        )
    grid, along = as_grid(trace, signal), axes[0] == TIME
    steps, rows, features = grid.places.shape
    return Sequence(moved(trace, grid.value, grid.places), features, steps, rows, carried=along)


def start_sizes(read: Sequence, units: int) -> tuple[int, ...]:
    """Return the sizes of a state of a layer."""
    return (units,) if read.rows == 1 else (read.rows, units)


def folded_answers(trace: Trace, node: onnx.NodeProto, layer: Cell, read: Sequence) -> list[Value]:
    """Emit a layer over the steps and rows of each frame; return its answers Y and Y_h."""
    made = trace.emit(Folded(layer.inputs, layer, read.steps, read.rows, read.carried))
    units = layer.width(trace.widths)
    places = np.arange(prod((read.steps, read.rows, units))).reshape(read.steps, 1, read.rows, units)
    axes = (TIME, ONE, FEATURE, FEATURE) if read.carried else (FEATURE, ONE, TIME, FEATURE)
    y = settled(trace, made, axes, places)
    if read.carried:
        return [y, final_state(layer.h)]
    asked = len(node.output) > 1 and node.output[1]
    read_later = asked and (trace.graph.consumers(node.output[1]) or trace.graph.is_output(node.output[1]))
    return [y, settled(trace, made, axes[1:], places[-1]) if read_later else final_state(HIDDEN)]


def final_state(slot: Slot) -> Final:
    """Return the final state of a layer with rows; only a state output reads it."""
    return Final((None,), (slot,), (ONE, BATCH, FEATURE))
