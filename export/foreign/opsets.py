"""Files of older operator sets, converted to one that can be lifted."""

import onnx
from onnx import version_converter

from ...runtime.cells import PROJECTED_LSTM
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ..states.recurrent_states import MIN_OPSET

MODERN = 17
SPLIT_OPSET = 18  # from 18 on, the Split in the Scan of an LSTM with projection says its number of parts


def needs_split_opset(model: onnx.ModelProto) -> bool:
    """Return whether a model has an LSTM with projection, but an operator set that lacks what its Scan needs."""
    projected = any(node.op_type == PROJECTED_LSTM.operator for node in model.graph.node)
    return projected and Graph(model).opset() < SPLIT_OPSET


def modernize(model: onnx.ModelProto, least: int = MIN_OPSET) -> onnx.ModelProto:
    """Return the model if its operator set can be lifted, else a model converted by onnx.

    Args:
        model: The model.
        least: The least version that is wanted.

    Raises:
        UnsupportedError: onnx cannot convert the model.
    """
    version = Graph(model).opset()
    if version >= least:
        return model
    try:
        return version_converter.convert_version(model, max(MODERN, least))
    except Exception as error:  # onnx raises several classes and has none of its own
        reason = str(error).partition("\n")[0][:200]
        raise UnsupportedError(
            f"operator set {version}, wanted at least {least}, and onnx.version_converter refuses it ({reason}); "
            "export the model again with a newer operator set"
        ) from error
