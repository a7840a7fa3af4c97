"""Inputs that stay the same for a whole stream and become constants: a sample rate, the vector of a speaker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.errors import ModelError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ..graph.axes import Dims, set_dims, shape_of, shape_text
from ..graph.editing import inferred, set_nodes, unused, value_names
from ..graph.expands import size_nodes

MAX_VALUES = 65_536  # of an input
_SAME_PLACES = frozenset(("Cast", "Identity", "Not", "Transpose", "Unsqueeze"))
_BROADCASTING = frozenset(("Add", "And", "Div", "Mul", "Or", "Sub", "Where"))
_WAY_OUT = "export the model with this input computed inside, or with sizes that are fixed or those of the signal"


@dataclass(frozen=True)
class FixedInput:
    """An input that became a constant.

    Attributes:
        name: Its name.
        value: Its value for one stream and one frame.
        follows: The axes that are as long as an axis of the signal, and this axis. There the value has the size 1.
    """

    name: str
    value: Array
    follows: Mapping[int, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The value for a report: a number, or the shape."""
        same = np.unique(self.value)
        return f"{same[0]:g}" if same.size == 1 else f"{self.value.size} values"

    def of_signal(self, shape: tuple[int, ...]) -> Array:
        """Return the value for a signal of the given shape."""
        sizes = dict.fromkeys(range(self.value.ndim), 1) | {axis: shape[other] for axis, other in self.follows.items()}
        return np.tile(self.value, tuple(sizes.values()))


def cut_values(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Let values that nodes make be inputs, if a caller sets them, in place: a mask that is computed from the signal.

    Args:
        model: The file.
        names: The names that a caller sets; those of inputs change nothing.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    cut = [name for name in names if name in makers]
    if not cut:
        return
    for item in model.graph.input:  # a free size without a name has no name in the shapes of other values either
        dims = shape_of(item)
        set_dims(item, tuple(f"{item.name}/axis{axis}" if size is None else size for axis, size in enumerate(dims)))
    known, shapes = value_names(model), {item.name: item for item in inferred(model).value_info}
    for name in cut:
        if name not in shapes or not shapes[name].type.tensor_type.HasField("shape"):
            raise ModelError(f"{name!r} is computed by {label(makers[name])}, and its shape is not known; {_WAY_OUT}")
        place = list(makers[name].output).index(name)
        makers[name].output[place] = unused(f"{name}/computed", known)
        model.graph.input.append(shapes[name])


def fix_inputs(model: onnx.ModelProto, values: Mapping[str, float | Array], source: str) -> tuple[FixedInput, ...]:
    """Turn graph inputs into constants for one stream, in place.

    Args:
        model: The model.
        values: The value of each input by name. A number fills the whole input, as long as it is; an array has its
            shape for one stream.
        source: The signal input.

    Raises:
        ModelError: There is no input of that name, its shape does not fit, or the value is not finite or too large.
    """
    inputs = {item.name: item for item in model.graph.input}
    sizes, found = shape_of(inputs[source]), []
    for name, value in values.items():
        if name not in inputs:
            raise ModelError(f"there is no input {name!r} to set; the file has {', '.join(inputs)}")
        item = inputs[name]
        found.append(_of_array(item, value, sizes) if isinstance(value, np.ndarray) else _filled(item, value, sizes))
        model.graph.input.remove(inputs[name])
        model.graph.initializer.append(numpy_helper.from_array(found[-1].value, name))
    return tuple(found)


def spread_over_signal(model: onnx.ModelProto, fixed: Iterable[FixedInput], source: str) -> None:
    """Repeat constants along the axes that follow the signal, in place.

    Args:
        model: The model, after `fix_inputs`.
        fixed: The constants.
        source: The signal input.
    """
    for one in fixed:
        if one.follows and not _is_broadcast(Graph(model), one):
            _spread(model, one, source)


def _is_broadcast(graph: Graph, one: FixedInput) -> bool:
    """Return whether nodes spread a number themselves: each combines it with a value of the signal, place by place."""
    waiting, known = [one.name], {one.name}
    if one.value.size > 1:
        return False
    while waiting:
        for node in graph.consumers(waiting.pop()):
            if node.op_type in _SAME_PLACES and node.input[0] in known:
                waiting += node.output
                known.update(node.output)
            elif node.op_type not in _BROADCASTING or all(
                name in known or graph.constant(name) is not None for name in node.input
            ):
                return False
    return known.isdisjoint(item.name for item in graph.model.graph.output)


def _spread(model: onnx.ModelProto, one: FixedInput, source: str) -> None:
    inner = unused(f"{one.name}/one_stream", value_names(model))
    next(tensor for tensor in model.graph.initializer if tensor.name == one.name).name = inner
    sizes = [f"{inner}/size{i}" for i in range(one.value.ndim)]
    ones = (numpy_helper.from_array(np.ones(1, np.int64), size) for i, size in enumerate(sizes) if i not in one.follows)
    model.graph.initializer.extend(ones)
    nodes = [
        *(node for axis, other in one.follows.items() for node in size_nodes(model, source, other, sizes[axis])),
        helper.make_node("Concat", sizes, [f"{inner}/sizes"], f"{inner}/sizes", axis=0),
        helper.make_node("Expand", [inner, f"{inner}/sizes"], [one.name], f"{one.name}/Expand"),
        *model.graph.node,
    ]
    set_nodes(model, nodes)


def _filled(item: onnx.ValueInfoProto, value: float, sizes: Dims) -> FixedInput:
    """Return a number in each place of an input. One value, such as a sample rate, follows only free sizes."""
    dims, kind = shape_of(item), helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
    one = all(size == 1 for size in dims)
    follows = {} if one else _followed(dims, sizes) | _at_same_places(dims, sizes)
    shape = [size if isinstance(size, int) and axis not in follows else 1 for axis, size in enumerate(dims)]
    lost = any(not isinstance(size, int) and axis not in follows for axis, size in enumerate(dims))
    if lost or np.prod(shape, dtype=object) > MAX_VALUES:
        raise ModelError(
            f"input {item.name!r} has shape {shape_text(dims)}, and a number fills at most {MAX_VALUES} values and the "
            f"free sizes of the signal, {shape_text(sizes)}; {_WAY_OUT}"
        )
    return FixedInput(item.name, np.full(shape, value, kind), follows)


def _at_same_places(dims: Dims, sizes: Dims) -> dict[int, int]:
    """Return the axes of an input that have a fixed size of the signal at the same place, as a mask has its frames."""
    lead = sizes[:-1]
    alike = [
        axis for axis, size in enumerate(dims[: len(lead)]) if isinstance(size, int) and size > 1 and size == lead[axis]
    ]
    return {axis: axis for axis in alike if len(dims) > 1}


def _of_array(item: onnx.ValueInfoProto, value: Array, sizes: Dims) -> FixedInput:
    dims, kind = shape_of(item), helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
    wanted = tuple(size if isinstance(size, int) else 1 for size in dims)
    if value.shape != wanted or value.size > MAX_VALUES:
        raise ModelError(
            f"input {item.name!r} of shape {shape_text(dims)} is set to {value.dtype} {value.shape}, wanted {wanted}, "
            f"at most {MAX_VALUES} values: those for one stream, and 1 in place of each free size"
        )
    if not np.can_cast(value.dtype, kind, "same_kind") or not np.all(np.isfinite(value)):
        raise ModelError(f"input {item.name!r} is set to {value.dtype} values, wanted finite {np.dtype(kind)}")
    return FixedInput(item.name, value.astype(kind), _followed(dims, sizes))


def _followed(dims: Dims, sizes: Dims) -> dict[int, int]:
    """Return the axes of an input that are as long as an axis of the signal, by name, by place, or as the streams."""
    lead, found = sizes[:-1], dict[int, int]()
    for axis, size in enumerate(dims):
        streams = axis == 0 and size == 1 and len(dims) > 1
        if (isinstance(size, str) or streams) and size in lead:
            found[axis] = lead.index(size)
        elif not isinstance(size, int) and axis < len(lead) and not isinstance(lead[axis], int):
            found[axis] = axis
    return found
