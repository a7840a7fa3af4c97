"""Files in float16, bfloat16 or float64: all their floats become float32, as streams have them."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ...runtime.errors import UnsupportedError
from ...runtime.graph.gate import parts

_OTHER = {getattr(TensorProto, name): name.lower() for name in ("FLOAT16", "BFLOAT16", "DOUBLE")}
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type")  # of Cast, of sources, of quantization, of norms


def make_single(model: onnx.ModelProto) -> list[str]:
    """Make all floats of a model float32, in place; return the names of the other types that it had.

    Raises:
        UnsupportedError: A value is larger than float32 can hold.
    """
    found = set()
    for message in parts(model):
        if isinstance(message, TensorProto) and message.data_type in _OTHER:
            found.add(_OTHER[message.data_type])
            message.CopyFrom(_single(message))
        elif isinstance(message, onnx.TypeProto.Tensor) and message.elem_type in _OTHER:
            found.add(_OTHER[message.elem_type])
            message.elem_type = TensorProto.FLOAT
        elif isinstance(message, onnx.AttributeProto) and message.name in _TYPE_ATTRIBUTES and message.i in _OTHER:
            message.i = TensorProto.FLOAT
    return sorted(found)


def _single(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    if not np.array_equal(np.isinf(values.astype(np.float64)), np.isinf(single)):
        largest = np.abs(values).max()
        raise UnsupportedError(
            f"tensor {tensor.name!r} is {_OTHER[tensor.data_type]} and has a value of {largest:g}, wanted values that "
            "float32 holds, below 3.4e38; put a smaller number in its place, and export the model again"
        )
    return numpy_helper.from_array(single, tensor.name)
