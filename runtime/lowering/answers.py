"""The answers of a program: the value of each output, and the shape of one answer in the file."""

from functools import reduce
from math import prod

from ..contract import Port
from ..errors import ContractError, UnsupportedError
from ..operators import Concat
from .grids import moved
from .layers import layers_of
from .trace import Trace
from .values import BATCH, FEATURE, LAYER, ONE, TIME, Grid


def answer_of(trace: Trace, port: Port) -> tuple[int, tuple[int, ...]]:
    """Return the value of an output, and the sizes of one answer of one stream in the order of the file's axes.

    The engine gives an answer as one row of numbers. Its callers give it these sizes.

    Raises:
        UnsupportedError: The output is no signal, or its numbers are in another order.
        ContractError: The contract gives another time axis.
    """
    if not trace.graph.is_output(port.name):
        raise ContractError(f"contract: {port.name!r} is not an output of the graph; export the model again")
    value = trace.values.get(port.name)
    if isinstance(value, Grid):
        return _frame(trace, port, value)
    stack = layers_of(value)
    given = stack.parts if stack else [value]
    parts = [trace.resolved(part) for part in given]
    signals = [trace.last(part) for part in parts if part is not None]
    if len(signals) < len(parts):
        raise UnsupportedError(f"output {port.name!r} is not a signal the engine can follow; use backend='onnxruntime'")
    axes = stack.axes if stack else signals[0].axes
    found = _time_of(axes, port)
    if trace.widths[signals[0].value] == 1:  # one feature may stand on the axis of streams, which is one stream
        axes = tuple(ONE if axis == FEATURE else axis for axis in axes)
    rest = _of_one_stream(axes, port)
    sizes = {ONE: 1, BATCH: 1, FEATURE: trace.widths[signals[0].value], LAYER: len(signals)}
    shape = tuple(sizes[axis] for axis in rest)
    answer = reduce(lambda a, b: trace.emit(Concat((a, b))), [signal.value for signal in signals])
    if prod(shape) != trace.widths[answer]:
        raise UnsupportedError(
            f"output {port.name!r} has axes ({', '.join(axes)}), the engine gives time and features: keep the feature "
            "axis, or use backend='onnxruntime'"
        )
    return answer, shape if found is not None else shape or (1,)


def _frame(trace: Trace, port: Port, grid: Grid) -> tuple[int, tuple[int, ...]]:
    """Return an answer that is a frame of several axes."""
    _time_of(grid.axes, port)
    _of_one_stream(grid.axes, port)
    kept = [size for i, size in enumerate(grid.places.shape) if i not in (port.time_axis, port.batch_axis)]
    return moved(trace, grid.value, grid.places), tuple(kept)


def _time_of(axes: tuple[str, ...], port: Port) -> int | None:
    """Return the time axis of an output.

    Raises:
        ContractError: The contract gives another one.
    """
    found = axes.index(TIME) if TIME in axes else None
    if found != port.time_axis:
        raise ContractError(
            f"contract: output {port.name!r} has time axis {port.time_axis}, the graph says {found}; export the model "
            "again"
        )
    return found


def _of_one_stream(axes: tuple[str, ...], port: Port) -> list[str]:
    """Return the axes of one answer of one stream.

    Raises:
        UnsupportedError: The batch axis of the contract counts something else, or the layers come after the features.
    """
    if port.batch_axis is not None and axes[port.batch_axis : port.batch_axis + 1] not in ((ONE,), (BATCH,)):
        raise UnsupportedError(
            f"output {port.name!r} has axes ({', '.join(axes)}), wanted the streams on axis {port.batch_axis}; use "
            "backend='onnxruntime'"
        )
    rest = [axis for i, axis in enumerate(axes) if i not in (port.time_axis, port.batch_axis)]
    if LAYER in rest and FEATURE in rest and rest.index(LAYER) > rest.index(FEATURE):
        raise UnsupportedError(
            f"output {port.name!r} has axes ({', '.join(axes)}), wanted the features after the layers; transpose them, "
            "or use backend='onnxruntime'"
        )
    return rest
