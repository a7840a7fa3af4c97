"""Static inputs: they stay the same until a caller sets them. Each becomes a state that keeps itself."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.contract import State
from ...runtime.errors import UnsupportedError
from ..graph.axes import Dims, set_dims, shape_of
from ..graph.editing import input_named, rename, set_nodes, unused, value_names


def keep_static(model: onnx.ModelProto, names: Sequence[str], batch: int | str) -> tuple[State, ...]:
    """Return each static input as its next value too, in place: the output `<name>_out`.

    Args:
        model: A model whose inputs have shapes.
        names: Its static inputs. A first axis of free size counts streams; an input of fewer than two axes gets an
            axis for the streams, of size 1.
        batch: The number of streams, or the name of the free axis.

    Returns:
        The states.

    Raises:
        UnsupportedError: The graph already has a value of that name.
    """
    return tuple(_keep(model, name, batch) for name in names)


def _keep(model: onnx.ModelProto, name: str, batch: int | str) -> State:
    target = f"{name}_out"
    if target in value_names(model):
        raise UnsupportedError(f"static input {name!r}: the graph already has a value {target!r}; rename it")
    first, *rest = _with_streams(model, name)
    shape = tuple(size if isinstance(size, int) else batch for size in (first, *rest))
    output = helper.make_tensor_value_info(target, onnx.TensorProto.FLOAT, None)
    for item in (input_named(model, name), output):
        set_dims(item, shape)
    model.graph.output.append(output)
    model.graph.node.append(helper.make_node("Identity", [name], [target], f"{target}/Identity"))
    return State(name, target, "static", shape)


def _with_streams(model: onnx.ModelProto, name: str) -> Dims:
    """Give a static input of one axis or none an axis for the streams, of size 1, in place; return its shape."""
    item = input_named(model, name)
    dims = shape_of(item)
    if len(dims) > 1:
        return dims
    wide: Dims = (1, *(dims or (1,)))
    inner = unused(f"{name}/values", value_names(model))
    axes = numpy_helper.from_array(np.arange(2 - len(dims), dtype=np.int64), f"{inner}/axes")
    rename(model, name, inner)
    item.name = name
    set_dims(item, wide)
    model.graph.initializer.append(axes)
    nodes = [helper.make_node("Squeeze", [name, axes.name], [inner], f"{inner}/Squeeze"), *model.graph.node]
    set_nodes(model, nodes)
    return wide
