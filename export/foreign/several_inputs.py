"""Several inputs of a foreign file that are no states: signals that advance together, and static inputs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from ...runtime.contract import Piece
from ...runtime.errors import ContractError, ModelError
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, set_dims, shape_of
from ..graph.editing import input_named, read_names, value_names
from ..graph.joined_signals import JoinedSignals, joined_signals
from .input_roles import likely_signal, named_pairs, started_inputs

_PASSED = ("Cast", "Identity", "Squeeze", "Transpose", "Unsqueeze")  # between ids and their table


@dataclass(frozen=True)
class SeveralInputs:
    """Inputs that are no states.

    Attributes:
        joined: How several signals are joined; None if there is one.
        static: The shapes of the static inputs in the file, by name.
    """

    joined: JoinedSignals | None
    static: Mapping[str, Dims]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces of a contract."""
        return () if self.joined is None else self.joined.pieces

    def notes(self) -> list[str]:
        """Return sentences for a report."""
        notes = [f"Its signals are {', '.join(piece.name for piece in self.pieces)}."] if self.pieces else []
        return notes + [f"Input {name} is static: a caller sets it as a state, zeros at first." for name in self.static]


def join_inputs(
    model: onnx.ModelProto, given: Mapping[str, str] | None, options: Collection[str], static: Sequence[str]
) -> SeveralInputs:
    """Join the signals of a file to one input, its first, and put the static inputs at the end, in place.

    A signal has the sizes of batch and time of the first one. A static input has no free size but that of the batch.

    Args:
        model: The file.
        given: The output that feeds each state input; None: found by names.
        options: Inputs that become constants.
        static: Inputs that the caller says are static.

    Raises:
        ModelError: A static input is no input of floats.
    """
    floats = {item.name: shape_of(item) for item in model.graph.input if _is_float(item)}
    ids = {item.name: shape_of(item) for item in model.graph.input if item.name in _looked_up(model)}
    shapes = floats | ids
    for name in static:
        if name not in floats:
            raise ModelError(f"there is no input {name!r} of floats to be static; the file has {', '.join(floats)}")
    first = likely_signal(model, given, [*options, *static])
    left = _left(model, shapes, [first, *(named_pairs(model) if given is None else given), *options, *static])
    signals = [name for name in left if first in shapes and _advances(model, first, name, shapes, ids)]
    rest = [name for name in left if name in floats and name not in signals and not _may_be_state(model, floats[name])]
    constant = [name for name in rest if _has_no_time(floats[name], first, model)]
    joined = None
    if signals:
        names = [first, *signals]
        joined = joined_signals({name: shapes[name] for name in names}, sorted(value_names(model)), ids)[0]
        joined.join(model)
    kept = [*static, *constant]
    _put_last(model, kept)
    return SeveralInputs(joined, {name: floats[name] for name in kept})


def follow_signal(model: onnx.ModelProto, static: Collection[str], source: str) -> None:
    """Name the streams of static inputs after the axis of the signal that counts them, in place.

    Args:
        model: The file.
        static: Its static inputs.
        source: Its signal input. Both have the same name or the size 1 there.
    """
    sizes = shape_of(input_named(model, source))
    for item in model.graph.input:
        dims = shape_of(item)
        if item.name in static and len(dims) > 1 and dims[0] in sizes[:-1]:
            set_dims(item, (f"axis{sizes.index(dims[0])}", *dims[1:]))


def _is_float(item: onnx.ValueInfoProto) -> bool:
    kind = item.type.tensor_type
    return bool(kind.elem_type == onnx.TensorProto.FLOAT and kind.HasField("shape"))


def _looked_up(model: onnx.ModelProto) -> set[str]:
    """Return the inputs of integers by which nodes look up rows of a table."""
    integers = (TensorProto.INT32, TensorProto.INT64)
    kinds = {item.name: item.type.tensor_type for item in model.graph.input}
    graph, found = Graph(model), set[str]()
    for node in graph.nodes:
        name = node.input[1] if node.op_type == "Gather" and graph.constant(node.input[0]) is not None else ""
        while (maker := graph.producer(name)) is not None and maker.op_type in _PASSED:
            name = maker.input[0]
        found.add(name)
    return {name for name, kind in kinds.items() if name in found and kind.elem_type in integers}


def _left(model: onnx.ModelProto, shapes: Mapping[str, Dims], known: Collection[str]) -> list[str]:
    """Return the inputs that nodes read, and that neither start a recurrent layer nor have another role."""
    started, read = started_inputs(model), read_names(model)
    return [name for name in shapes if name in read and name not in known and name not in started]


def _advances(model: onnx.ModelProto, first: str, name: str, shapes: Mapping[str, Dims], ids: Collection[str]) -> bool:
    """Return whether an input advances with the first signal; in a file of one frame it is no state by its shape."""
    dims = shapes[name]
    try:
        joined_signals({first: shapes[first], name: dims}, ids=ids)
    except ContractError:
        return False
    alike = dims == shapes[first] or sum(not isinstance(size, int) for size in dims) > 1
    return alike or not _may_be_state(model, dims)


def _may_be_state(model: onnx.ModelProto, dims: Dims) -> bool:
    """Return whether an output may have the shape of an input, as the next value of a state has; a free size fits any.

    An output whose shape the file leaves out says nothing.
    """
    return bool(dims) and any(_fits(shape_of(output), dims) for output in model.graph.output)


def _fits(first: Dims, second: Dims) -> bool:
    sizes = zip(first, second, strict=False)
    return len(first) == len(second) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in sizes
    )


def _has_no_time(dims: Dims, first: str, model: onnx.ModelProto) -> bool:
    """Return whether an input has only fixed sizes, and perhaps the streams first."""
    sizes = shape_of(input_named(model, first))
    return all(isinstance(size, int) or (axis == 0 and size in sizes) for axis, size in enumerate(dims))


def _put_last(model: onnx.ModelProto, names: Collection[str]) -> None:
    items = sorted(model.graph.input, key=lambda item: item.name in names)
    del model.graph.input[:]
    model.graph.input.extend(items)
