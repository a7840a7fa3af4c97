"""The axis of features of an answer: every backend gives one, of size 1 for a single number."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.contract import Port
from .axes import set_dims, shape_of
from .editing import rename


def give_features(model: onnx.ModelProto, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """Give outputs of one number per stream or frame an axis of features, in place; return their names.

    Args:
        model: A model whose outputs have shapes.
        ports: The outputs by name.
    """
    found = []
    for item in model.graph.output:
        dims, port = shape_of(item), ports.get(item.name)
        if port is not None and len(dims) == sum(axis is not None for axis in (port.time_axis, port.batch_axis)):
            name = item.name
            inside, axis = f"{name}/values", f"{name}/axis"
            rename(model, name, inside)
            item.name = name
            set_dims(item, (*dims, 1))
            model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), axis))
            model.graph.node.append(helper.make_node("Unsqueeze", [inside, axis], [name], f"{name}/Unsqueeze"))
            found.append(name)
    return tuple(found)
