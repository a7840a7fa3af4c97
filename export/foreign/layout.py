"""The layout of a foreign file's signal: which axis is time and which one counts streams."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx

from ...runtime.contract import Port
from ...runtime.errors import ContractError
from ..graph.axes import Axes, Dims, find_axes, output_ports, set_dims, shape_of, shape_text, signal_input, trace_dims
from ..proof.whole_sequence import reads_other_frames, refuse_lost_frames
from .frames_as_batch import batch_holds_frames


@dataclass(frozen=True)
class Layout:
    """The axes of a signal.

    Attributes:
        axes: The axis of time, and that of the batch if its size is free.
        dims: The shapes of all values, from `axes.trace_dims`.
        streams: The axis that counts streams, of free or fixed size; None if there is none.
    """

    axes: Axes
    dims: dict[str, Dims]
    streams: int | None

    @property
    def batch(self) -> int | str:
        """The streams per run: 1, or `batch` if their number is free."""
        return 1 if self.axes.batch is None else "batch"

    def outputs(self, model: onnx.ModelProto) -> tuple[Port, ...]:
        """Return the ports of the outputs.

        Raises:
            ContractError: A size is not known, or an output has no batch axis.
        """
        ports = output_ports(model, self.dims, self.axes)
        return tuple(self._with_streams(port) for port in ports)

    def _with_streams(self, port: Port) -> Port:
        """Return a port with a batch axis: in a file for one stream, an axis of size 1."""
        if port.batch_axis is not None or self.streams is None:
            return port
        ones = [axis for axis, size in enumerate(self.dims[port.name]) if size == 1]
        axis = self.streams if self.streams in ones else next(iter(ones), None)
        return Port(port.name, port.time_axis, axis)


def find_layout(model: onnx.ModelProto, *, free_batch: bool = True, time: int | None = None) -> Layout | None:
    """Return the layout of a model whose only input is its signal; None if it takes one frame per run.

    Args:
        model: The model.
        free_batch: Whether the number of streams may be free.
        time: The axis of frames, if it is known.

    Raises:
        ContractError: The recurrent layers run along no axis of the signal.
        WholeSequenceError: An operator before them mixes or drops frames.
    """
    source = signal_input(model)
    declared = shape_of(source)
    refusals: list[tuple[ContractError, onnx.ModelProto, dict[str, Dims]]] = []
    rows = False
    for free in _candidates(len(declared), ids=source.type.tensor_type.elem_type != onnx.TensorProto.FLOAT):
        if (len(free) > 1 and not free_batch) or time not in {None, *free}:
            continue
        sized = onnx.ModelProto()
        sized.CopyFrom(model)
        dims = tuple(
            f"axis{i}" if i in free else size if isinstance(size, int) else 1 for i, size in enumerate(declared)
        )
        set_dims(signal_input(sized), dims)
        traced = trace_dims(sized, free)
        rows = rows or (free == (0,) and batch_holds_frames(sized, traced))
        try:
            axes = find_axes(sized, traced)
        except ContractError as error:
            refusals.append((error, sized, traced))
            continue
        if axes.batch is None and len(free) > 1:
            continue  # the graph fixes its batch, so shapes traced with a free batch are wrong
        return Layout(axes, traced, _streams(axes, free, dims))
    if rows:
        return None
    for i, (_, sized, traced) in enumerate(refusals):
        if i == 0 or reads_other_frames(sized, traced):
            refuse_lost_frames(sized, traced)
    if not refusals:
        shape = shape_text(declared)
        raise ContractError(
            f"input {source.name!r} has shape {shape}, wanted an axis of frames or streams before the features; "
            "export the model for a signal [1, features] or [1, frames, features]"
        )
    raise refusals[0][0]  # that of the usual layout


def _candidates(rank: int, *, ids: bool) -> Iterator[tuple[int, ...]]:
    """Yield sets of axes that may be time and batch: the usual set first, the last axis, mostly of features, last."""
    if rank - (not ids) > 1:
        yield (0, 1)
    yield from ((0, i) for i in range(2, rank))
    yield from ((i,) for i in range(rank if ids or rank > 2 else rank - 1))


def _streams(axes: Axes, free: Sequence[int], dims: Dims) -> int | None:
    if axes.batch is not None:
        return axes.batch
    ones = [axis for axis, size in enumerate(dims) if size == 1 and axis not in free]
    return ones[0] if ones else None
