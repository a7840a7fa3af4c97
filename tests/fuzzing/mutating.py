"""Changes of files that keep their form, so that what reads them gets past its first look."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, TensorProto

Random = np.random.Generator
OUTER = 0.125  # of the changes are to bytes, whatever form they have
FLOATS = (0.0, -1.0, 1e30, 1e-40, np.nan, np.inf)
NUMBERS = (0, 1, -1, 2, 3, 7, 255, 256, 2**15, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63))
TEXTS = ("", "x", "y", "\0", "é" * 40, "../x", "LSTM", "tanh", "forward", "9" * 30, "a" * 5000)


def pick(random: Random, things: Sequence[Any]) -> Any:  # noqa: ANN401  one of the things
    """Return one of some things."""
    return things[int(random.integers(len(things)))]


# ---- bytes ----


def bytes_changed(data: bytes, random: Random) -> bytes:
    """Return bytes of which some are flipped, doubled, left out, cut off or replaced by a number."""
    out = bytearray(data)
    for _ in range(1 + int(random.integers(4))):
        at, length = int(random.integers(len(out) + 1)), int(random.integers(1, 17))
        kind = int(random.integers(5))
        if kind == 0 and at < len(out):
            out[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            out[at:at] = out[at : at + length]
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            del out[at:]
        else:
            value = int(pick(random, NUMBERS)) & 2**64 - 1
            out[at : at + 8] = value.to_bytes(8, pick(random, ("little", "big")))[: length % 9]
    return bytes(out)


# ---- JSON ----


def json_changed(value: Any, random: Random) -> Any:  # noqa: ANN401  anything that JSON can say
    """Return a value in which one place is changed; lists and dicts are walked into."""
    if isinstance(value, dict) and value:
        return _dict_changed(value, random)
    if isinstance(value, list) and value:
        return _list_changed(value, random)
    others: list[Any] = [None, True, 0.5, float("nan"), [], {}, [[]], *NUMBERS, *TEXTS, [value], {"x": value}]
    return pick(random, others)


def _dict_changed(value: dict[str, Any], random: Random) -> dict[str, Any]:
    key, kind = pick(random, list(value)), random.random()
    if kind < 0.1:
        return {name: one for name, one in value.items() if name != key}
    if kind < 0.2:
        return value | {str(pick(random, TEXTS)): value[key]}
    return value | {key: json_changed(value[key], random)}


def _list_changed(value: list[Any], random: Random) -> list[Any]:
    at, kind = int(random.integers(len(value))), random.random()
    if kind < 0.1:
        return value[:at] + value[at + 1 :]
    if kind < 0.2:
        return [*value, value[at]]
    return [*value[:at], json_changed(value[at], random), *value[at + 1 :]]


def json_text_changed(data: bytes, random: Random) -> bytes:
    """Return JSON in which a place or two are changed, or its bytes."""
    if random.random() < OUTER:
        return bytes_changed(data, random)
    try:
        value = json.loads(data)
        for _ in range(1 + int(random.random() < 0.3)):
            value = json_changed(value, random)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):  # it was changed before, and is no JSON
        return bytes_changed(data, random)


# ---- messages of protobuf ----


def message_changed(message: Message, random: Random) -> None:
    """Change one field of a message, or of a message inside it, to a value of its type."""
    fields = [field for field, _ in message.ListFields()]
    field = pick(random, fields if fields and random.random() < 0.9 else message.DESCRIPTOR.fields)
    held = getattr(message, field.name)
    if field.is_repeated and hasattr(held, "values"):  # a map
        if held:
            _field_changed(held[pick(random, sorted(held))], field.message_type.fields_by_name["value"], random)
    elif field.is_repeated:
        _list_field_changed(held, field, random)
    elif field.message_type is not None:
        message_changed(held, random)
    else:
        setattr(message, field.name, _value_for(field, random))


def _field_changed(held: Any, field: FieldDescriptor, random: Random) -> None:  # noqa: ANN401  a value of a map
    if field.message_type is not None:
        message_changed(held, random)


def _list_field_changed(held: Any, field: FieldDescriptor, random: Random) -> None:  # noqa: ANN401  a repeated field
    at, kind = int(random.integers(len(held))) if held else 0, random.random()
    if held and kind < 0.15:
        del held[at]
    elif held and kind < 0.3:
        held.append(held[at])
    elif field.message_type is not None:
        message_changed(held[at] if held else held.add(), random)
    elif held and kind < 0.9:
        held[at] = _value_for(field, random)
    else:
        held.append(_value_for(field, random))


def _value_for(field: FieldDescriptor, random: Random) -> object:
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return float(pick(random, FLOATS))
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        text = str(pick(random, TEXTS))
        return text if field.type == FieldDescriptor.TYPE_STRING else text.encode()
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return pick(random, field.enum_type.values).number if field.enum_type else 0
    return bool(random.integers(2)) if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else int(pick(random, NUMBERS))


def protobuf_changed(kind: type[Message], data: bytes, random: Random) -> bytes:
    """Return the bytes of a message in which a field or two are changed, or its bytes."""
    changes = ONNX_CHANGES if kind is onnx.ModelProto else (message_changed,)
    if random.random() < OUTER:
        return bytes_changed(data, random)
    try:
        message = kind.FromString(data)
    except DecodeError:  # it was changed before, and is no message
        return bytes_changed(data, random)
    for _ in range(1 + int(random.random() < 0.3)):
        with suppress(ValueError, IndexError):  # a number that the field does not hold
            pick(random, changes)(message, random)
    return message.SerializeToString()


# ---- ONNX ----


def _node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto:
    return pick(random, model.graph.node) if model.graph.node else model.graph.node.add(op_type="Neg")


def _values(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return [*names, *(tensor.name for tensor in graph.initializer), *(one.name for one in graph.input), "", "nowhere"]


def _number_of_attribute(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if not node.attribute:
        return
    attribute = pick(random, node.attribute)
    if attribute.type == AttributeProto.INT:
        attribute.i = int(pick(random, NUMBERS))
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = float(pick(random, FLOATS))
    elif attribute.type == AttributeProto.STRING:
        attribute.s = str(pick(random, TEXTS)).encode()
    elif attribute.ints:
        attribute.ints[int(random.integers(len(attribute.ints)))] = int(pick(random, NUMBERS))


def _shape_of_attribute(model: onnx.ModelProto, random: Random) -> None:
    node, kind = _node(model, random), random.random()
    if node.attribute and kind < 0.4:
        node.attribute.remove(pick(random, node.attribute))
    elif node.attribute and kind < 0.7:
        attribute = pick(random, node.attribute)
        attribute.type = int(random.integers(15))
    elif node.attribute:
        pick(random, node.attribute).name = str(pick(random, ("axis", "axes", "hidden_size", "direction", *TEXTS)))


def _value_of_node(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    names = node.input if random.random() < 0.8 else node.output
    if names and random.random() < 0.8:
        names[int(random.integers(len(names)))] = pick(random, _values(model))
    else:
        names.append(pick(random, _values(model)))


def _operator(model: onnx.ModelProto, random: Random) -> None:
    operators = [node.op_type for node in model.graph.node]
    _node(model, random).op_type = pick(random, [*operators, "Loop", "Scan", "Reshape", "Transpose", "MatMul", "Conv"])


def _nodes(model: onnx.ModelProto, random: Random) -> None:
    nodes, kind = list(model.graph.node), random.random()
    if not nodes:
        return
    one = pick(random, nodes)
    changed = [node for node in nodes if node is not one] if kind < 0.4 else [*nodes, one]
    if kind > 0.7:
        changed = [nodes[i] for i in random.permutation(len(nodes))]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in changed]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _sizes_of_tensor(model: onnx.ModelProto, random: Random) -> None:
    if not model.graph.initializer:
        return
    tensor: TensorProto = pick(random, model.graph.initializer)
    if tensor.dims and random.random() < 0.7:
        tensor.dims[int(random.integers(len(tensor.dims)))] = int(pick(random, NUMBERS))
    elif random.random() < 0.5:
        tensor.dims.append(int(pick(random, NUMBERS)))
    else:
        tensor.data_type = int(random.integers(26))


def _bytes_of_tensor(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.initializer:
        tensor: TensorProto = pick(random, model.graph.initializer)
        tensor.raw_data = bytes_changed(tensor.raw_data, random)


def _sizes_of_value(model: onnx.ModelProto, random: Random) -> None:
    graph = model.graph
    value = pick(random, [*graph.input, *graph.output, *graph.value_info, graph.input.add()])
    sizes = value.type.tensor_type.shape.dim
    if sizes and random.random() < 0.7:
        pick(random, sizes).dim_value = int(pick(random, NUMBERS))
    elif random.random() < 0.5:
        value.name = pick(random, _values(model))
    else:
        value.type.tensor_type.elem_type = int(random.integers(26))


def _contract(model: onnx.ModelProto, random: Random) -> None:
    for entry in model.metadata_props:
        text: str | bytes = entry.value  # protobuf gives bytes if they are no UTF-8
        if isinstance(text, str) and random.random() < 0.7:
            entry.value = bytes_changed(text.encode(), random).decode(errors="replace")


def _versions(model: onnx.ModelProto, random: Random) -> None:
    if model.opset_import and random.random() < 0.7:
        pick(random, model.opset_import).version = int(pick(random, (*range(1, 26), *NUMBERS)))
    else:
        model.ir_version = int(pick(random, NUMBERS))


ONNX_CHANGES: tuple[Callable[[onnx.ModelProto, Random], None], ...] = (
    message_changed,
    message_changed,
    _number_of_attribute,
    _number_of_attribute,
    _shape_of_attribute,
    _value_of_node,
    _value_of_node,
    _operator,
    _nodes,
    _sizes_of_tensor,
    _sizes_of_tensor,
    _bytes_of_tensor,
    _sizes_of_value,
    _contract,
    _versions,
)
