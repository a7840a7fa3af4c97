"""Squeezes without axes: they drop each axis that happens to be 1, that of a single stream or frame too."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .axes import Dims
from .editing import unused, value_names


def fix_squeezes(model: onnx.ModelProto, dims: Mapping[str, Dims]) -> None:
    """Let each Squeeze without axes drop only the axes that are always 1, in place.

    Args:
        model: An ONNX model.
        dims: The shapes of its values; axes of free size have names.
    """
    taken = value_names(model)
    for node in model.graph.node:
        shape = dims.get(node.input[0], (None,)) if node.op_type == "Squeeze" and not any(node.input[1:]) else ()
        if not shape or None in shape or node.attribute:
            continue
        axes = [axis for axis, size in enumerate(shape) if size == 1]
        if not axes:  # onnxruntime takes an empty list for no list
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]], node.name))
            continue
        name = unused(f"{node.output[0]}/axes", taken)
        taken.add(name)
        model.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), name))
        node.input[:] = [node.input[0], name]
