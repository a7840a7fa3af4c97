"""Ids of another integer type: streams have int32 or int64."""

import onnx
from onnx import TensorProto, helper

from ..graph.editing import unused, value_names

_NARROW = {
    getattr(TensorProto, name): name.lower() for name in ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "UINT64")
}


def widen_ids(model: onnx.ModelProto) -> list[str]:
    """Make inputs of other integer types int64, in place; return the names of the types that they had.

    Nodes of the file read them through a Cast to their old type; a Cast of the file reads them as they are.
    """
    found = []
    for item in model.graph.input:
        kind = item.type.tensor_type.elem_type
        if kind not in _NARROW:
            continue
        found.append(_NARROW[kind])
        item.type.tensor_type.elem_type = TensorProto.INT64
        readers = [node for node in model.graph.node if item.name in node.input and node.op_type != "Cast"]
        if readers:
            narrow = unused(f"{item.name}/{_NARROW[kind]}", value_names(model))
            for node in readers:
                for position, name in enumerate(node.input):
                    node.input[position] = narrow if name == item.name else name
            model.graph.node.insert(0, helper.make_node("Cast", [item.name], [narrow], f"{narrow}/Cast", to=kind))
    return found
