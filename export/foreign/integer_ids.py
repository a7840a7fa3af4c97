"""Ids of another type: streams have int32 or int64. Keras feeds ids as floats, and casts them ahead of its table."""

import onnx
from onnx import TensorProto, helper

from ...runtime.graph.nodes import attributes
from ..graph.editing import reads, unused, value_names

_OTHER = ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "UINT64", "FLOAT")
_NAMES = {getattr(TensorProto, name): name.lower() for name in _OTHER}
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)


def widen_ids(model: onnx.ModelProto) -> list[str]:
    """Make inputs of other integer types int64, in place; return the names of the types that they had.

    Floats are ids if the file only casts them to integers. Nodes of the file read ids through a Cast to their old type;
    a Cast of the file reads them as they are.
    """
    found = []
    for item in model.graph.input:
        kind = item.type.tensor_type.elem_type
        if kind not in _NAMES or (kind == TensorProto.FLOAT and not _are_cast(model, item.name)):
            continue
        found.append(_NAMES[kind])
        item.type.tensor_type.elem_type = TensorProto.INT64
        readers = [node for node in model.graph.node if item.name in node.input and node.op_type != "Cast"]
        if readers:
            narrow = unused(f"{item.name}/{_NAMES[kind]}", value_names(model))
            for node in readers:
                for position, name in enumerate(node.input):
                    node.input[position] = narrow if name == item.name else name
            model.graph.node.insert(0, helper.make_node("Cast", [item.name], [narrow], f"{narrow}/Cast", to=kind))
    return found


def _are_cast(model: onnx.ModelProto, name: str) -> bool:
    """Return whether a value is cast to integers, and read for nothing else than its shape."""
    readers = [node for node in model.graph.node if name in reads(node)]
    casts = [node for node in readers if node.op_type == "Cast" and attributes(node)["to"] in _INTEGERS]
    return bool(casts) and all(node in casts or node.op_type == "Shape" for node in readers)
