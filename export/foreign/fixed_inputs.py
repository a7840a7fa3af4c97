"""Inputs that stay the same for a whole stream and become constants: a sample rate, the vector of a speaker."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.errors import ModelError
from ..graph.axes import shape_of, shape_text
from ..graph.editing import unused, value_names

MAX_VALUES = 65_536  # of an input


@dataclass(frozen=True)
class FixedInput:
    """An input that became a constant.

    Attributes:
        name: Its name.
        value: Its value for one stream.
        axis: The axis that counts streams: a free size, or a first axis of size 1; None if there is none.
        streams: The size of this axis in the file.
    """

    name: str
    value: Array
    axis: int | None = None
    streams: str | int | None = None

    @property
    def text(self) -> str:
        """The value for a report: a number, or the shape."""
        same = np.unique(self.value)
        return f"{same[0]:g}" if same.size == 1 else f"{self.value.size} values"

    def of_streams(self, count: int) -> Array:
        """Return the value for the given number of streams."""
        return self.value if self.axis is None else np.repeat(self.value, count, self.axis)


def fix_inputs(model: onnx.ModelProto, values: Mapping[str, float | Array]) -> tuple[FixedInput, ...]:
    """Turn graph inputs into constants for one stream, in place.

    Args:
        model: The model.
        values: The value of each input by name. A number fills the whole input; an array has its shape for one stream.

    Raises:
        ModelError: There is no input of that name, its shape does not fit, or the value is not finite or too large.
    """
    inputs = {item.name: item for item in model.graph.input}
    found = []
    for name, value in values.items():
        if name not in inputs:
            raise ModelError(f"there is no input {name!r} to set; the file has {', '.join(inputs)}")
        fixed = _of_array(inputs[name], value) if isinstance(value, np.ndarray) else _filled(inputs[name], value)
        model.graph.input.remove(inputs[name])
        model.graph.initializer.append(numpy_helper.from_array(fixed.value, name))
        found.append(fixed)
    return tuple(found)


def spread_over_streams(model: onnx.ModelProto, fixed: Iterable[FixedInput], source: str) -> None:
    """Repeat constants for one stream along the batch of the signal, in place.

    The batch is the first axis of the signal that has the same name or is 1 too.

    Args:
        model: The model, after `fix_inputs`.
        fixed: The constants.
        source: The signal input.
    """
    sizes = next(shape_of(item) for item in model.graph.input if item.name == source)
    for one in fixed:
        if one.axis is not None:
            batch = sizes.index(one.streams) if one.streams in sizes else None
            if batch is not None:
                _spread(model, one.name, (one.axis, one.value.ndim), source, batch)


def _spread(model: onnx.ModelProto, name: str, place: Sequence[int], source: str, batch: int) -> None:
    """Repeat an initializer along an axis (`place`: the axis and the rank) as often as the signal has streams."""
    axis, rank = place
    inner = unused(f"{name}/one_stream", value_names(model))
    next(tensor for tensor in model.graph.initializer if tensor.name == name).name = inner
    sizes = [f"{inner}/size{i}" for i in range(rank)]
    ones = (numpy_helper.from_array(np.ones(1, np.int64), size) for i, size in enumerate(sizes) if i != axis)
    model.graph.initializer.extend(ones)
    nodes = [
        helper.make_node("Shape", [source], [sizes[axis]], sizes[axis], start=batch, end=batch + 1),
        helper.make_node("Concat", sizes, [f"{inner}/sizes"], f"{inner}/sizes", axis=0),
        helper.make_node("Expand", [inner, f"{inner}/sizes"], [name], f"{name}/Expand"),
        *model.graph.node,
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _filled(item: onnx.ValueInfoProto, value: float) -> FixedInput:
    kind = item.type.tensor_type
    shape = [max(dim.dim_value, 1) for dim in kind.shape.dim]
    if any(dim.dim_param for dim in kind.shape.dim) or np.prod(shape, dtype=object) > MAX_VALUES:
        raise ModelError(
            f"input {item.name!r} has shape {shape_text(shape_of(item))}, and a number fills only a fixed shape of a "
            "few values; give an array of its shape for one stream (--set NAME=FILE.npy)"
        )
    return FixedInput(item.name, np.full(shape, value, helper.tensor_dtype_to_np_dtype(kind.elem_type)))


def _of_array(item: onnx.ValueInfoProto, value: Array) -> FixedInput:
    dims, kind = shape_of(item), helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
    free = [axis for axis, size in enumerate(dims) if not isinstance(size, int)]
    wanted = tuple(size if isinstance(size, int) else 1 for size in dims)
    if len(free) > 1 or value.shape != wanted or value.size > MAX_VALUES:
        raise ModelError(
            f"input {item.name!r} of shape {shape_text(dims)} is set to {value.dtype} {value.shape}, wanted {wanted}: "
            "its values for one stream, fixed sizes but for the streams"
        )
    if not np.can_cast(value.dtype, kind, "same_kind") or not np.all(np.isfinite(value)):
        raise ModelError(f"input {item.name!r} is set to {value.dtype} values, wanted finite {np.dtype(kind)}")
    axis = free[0] if free else 0 if len(dims) > 1 and dims[0] == 1 else None
    return FixedInput(item.name, value.astype(kind), axis, None if axis is None else dims[axis])
