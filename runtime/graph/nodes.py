"""Facts of one node or one model: operator set, attributes, label, direction."""

from collections.abc import Collection
from typing import Any

import onnx


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operator set that a model imports; 0 if it imports none."""
    return next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 0)


def is_standard(node: onnx.NodeProto) -> bool:
    """Return whether a node is of the standard operator set."""
    return node.domain in ("", "ai.onnx")


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name, strings decoded."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {key: v.decode(errors="replace") if isinstance(v, bytes) else v for key, v in values.items()}


def label(node: onnx.NodeProto) -> str:
    """Return the text by which messages name a node: its operator, and its name or first output."""
    return f"{node.op_type} {node.name or node.output[0]!r}"


def passed_on(graph: onnx.GraphProto, operators: Collection[str]) -> dict[str, str]:
    """Return for each answer of these operators the first input of its node, which the answer is or stands for."""
    nodes = (node for node in graph.node if node.op_type in operators and node.input)
    return {name: node.input[0] for node in nodes for name in node.output if name}


def origin(passed: dict[str, str], name: str) -> str:
    """Return the value at the start of the chain in `passed` that ends in a value; who asks again takes one step.

    Of a circle, which has no start, it is any value.
    """
    way = set[str]()
    while name in passed and name not in way:
        way.add(name)
        name = passed[name]
    passed.update(dict.fromkeys(way, name))
    return name


def is_backward(node: onnx.NodeProto) -> bool:
    """Return whether a recurrent node runs backward in time."""
    return attributes(node).get("direction") == "reverse"
