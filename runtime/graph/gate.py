"""The gate: the checks that an ONNX file from a stranger must pass before any parser or checker reads it.

First the bytes are walked, field by field and without recursion. The number of fields, nodes and nested graphs decides
how much parsing, checking and shape inference will cost, so too many are refused. Then the message is checked: data in
other files, shapes that do not fit their data, and unknown attributes and metadata are refused. Last, `structure`
checks the values of each graph.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from math import prod
from typing import NamedTuple

import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper

from ..errors import ModelError
from .data_files import ONE_FILE, DataFiles
from .nodes import is_standard, label, opset_of
from .structure import check_graph

MAX_NODES = 10_000  # a stacked recurrent net has some hundreds; a hostile file may have millions
MAX_FIELDS = 100_000  # fields of messages; each costs the parser about 100 bytes
MAX_DEPTH = 8  # nested graphs; Silero VAD has 5. Checkers and runtimes double their work with each level
MAX_VERSION = 2**31 - 1  # of an operator set that is not the standard one; runtimes keep it in 32 bits
METADATA_KEYS = {"tidegate.contract", "tidegate.quantization"}

_TYPES = dict(TensorProto.DataType.items())
# How many values share a byte. Other versions of onnx know fewer of these types.
_SHARING = {"INT4": 2, "UINT4": 2, "FLOAT4E2M1": 2, "INT2": 4, "UINT2": 4}
_A_BYTE = {_TYPES[name]: n for name, n in _SHARING.items() if name in _TYPES}
_FLOATS = {"tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)"}  # each is read as float32
_COMPLEX = {TensorProto.COMPLEX64, TensorProto.COMPLEX128}
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


class _NotOnnx(Exception):  # noqa: N818  it never leaves this module
    """The bytes are not a protobuf message."""


def parse(data: bytes, path: str, *, data_files: DataFiles | None = None) -> onnx.ModelProto:
    """Check the bytes of a file and return its model.

    Args:
        data: The bytes.
        path: The file, for messages.
        data_files: Takes the weights from other files of its folder; None: there may be none.

    Raises:
        ModelError: It is not an ONNX file, or it is too large or not allowed; the message names the node.
    """
    model = onnx.ModelProto()
    try:
        _walk(data, path)
        model.ParseFromString(data)
    except (_NotOnnx, DecodeError) as error:
        if "memory" in str(error).lower():  # protobuf's "Out of memory" comes as a damaged message
            raise MemoryError from None
        raise ModelError(
            f"{path}: not an ONNX file, and a compiled plan is none; export one with `tidegate export`"
        ) from None
    if not model.graph.node:
        raise ModelError(f"{path}: not an ONNX file, or its graph is empty; export one with `tidegate export`")
    _check(model, path, data_files)
    return model


# ---- bytes ----


@cache
def _messages(descriptor: Descriptor) -> dict[int, Descriptor]:
    """Return the fields of a message that are messages themselves, by field number."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and the position after it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise _NotOnnx


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each field; https://protobuf.dev/programming-guides/encoding has the format."""
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at, end)  # most tags have one byte
        kind = tag & 7
        if kind == 0:
            start, (_, at) = at, _varint(data, at, end)
        elif kind == 2:
            size, start = _varint(data, at, end)
            at = start + size
        elif kind in (1, 5):
            start, at = at, at + (8 if kind == 1 else 4)
        else:
            raise _NotOnnx
        if at > end:
            raise _NotOnnx
        yield tag >> 3, start, at


def _walk(data: bytes, path: str) -> None:
    """Count fields, nodes and nested graphs, outer messages first, and stop when there are too many."""
    fields = nodes = 0
    left = deque([(onnx.ModelProto.DESCRIPTOR, 0, len(data), -1, "")])
    while left:
        descriptor, at, end, depth, inside = left.popleft()
        depth += descriptor is onnx.GraphProto.DESCRIPTOR
        if depth > MAX_DEPTH:
            raise ModelError(
                f"{path}: graphs inside graphs more than {MAX_DEPTH} deep, down to node {inside!r}; export the model "
                "without nested conditions"
            )
        found, inner = [], _messages(descriptor)
        for number, start, stop in _fields(data, at, end):
            fields += 1
            if fields > MAX_FIELDS:
                raise ModelError(f"{path}: more than {MAX_FIELDS} fields in its messages, at most that many are read")
            if number in inner:
                found.append((inner[number], start, stop))
                nodes += inner[number] is onnx.NodeProto.DESCRIPTOR
                if nodes > MAX_NODES:
                    raise ModelError(f"{path}: more than {MAX_NODES} nodes, at most that many are read")
            elif number == 3 and descriptor is onnx.NodeProto.DESCRIPTOR:  # its name
                inside = data[start:stop].decode(errors="replace")
        left.extend((one, start, stop, depth, inside) for one, start, stop in found)


# ---- messages ----


def _check(model: onnx.ModelProto, path: str, data_files: DataFiles | None) -> None:
    for function in model.functions:
        raise ModelError(
            f"{path}: function {function.name!r} is defined in the file; inline it "
            "(onnx.inliner.inline_local_functions) and save it again"
        )
    _check_ir_version(model, path)
    _check_operator_sets(model, path)
    opset, graphs = opset_of(model), []
    for message in parts(model):
        _check_message(message, opset, path, data_files)
        if isinstance(message, onnx.GraphProto):
            graphs.append(message)
    for graph in graphs:
        check_graph(graph, path)
        _check_types(graph, opset, path)
    for item in model.metadata_props:
        if item.key.startswith("tidegate.") and item.key not in METADATA_KEYS:
            raise ModelError(
                f"{path}: metadata {item.key!r} is unknown, wanted {' or '.join(sorted(METADATA_KEYS))}; "
                "another version wrote the file, export it again"
            )


def _check_message(message: Message, opset: int, path: str, data_files: DataFiles | None) -> None:
    _check_text(message, path)
    if isinstance(message, onnx.SparseTensorProto):
        raise ModelError(f"{path}: {message.values.name!r} is a sparse tensor; save it as a dense one")
    if isinstance(message, onnx.TensorProto):
        _check_tensor(message, path, data_files)
    if isinstance(message, onnx.NodeProto):
        _check_node(message, opset, path)


def _check_ir_version(model: onnx.ModelProto, path: str) -> None:
    """Refuse a version of ONNX's format that backends read differently, or not at all."""
    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"{path}: its IR version is {model.ir_version}, wanted 1 to {onnx.IR_VERSION}; export the model with an "
            "older one, or install a newer onnx"
        )


def _check_operator_sets(model: onnx.ModelProto, path: str) -> None:
    newest, seen = onnx.defs.onnx_opset_version(), set()
    for one in model.opset_import:
        domain = "" if one.domain == "ai.onnx" else one.domain
        if domain in seen:
            raise ModelError(f"{path}: operator set {domain!r} is imported twice; export the model again")
        if not 0 < one.version <= (MAX_VERSION if domain else newest):
            raise ModelError(
                f"{path}: operator set {domain!r} is of version {one.version}, wanted 1 to "
                f"{MAX_VERSION if domain else newest}; export the model with an older one, or install a newer onnx"
            )
        seen.add(domain)


def parts(message: Message) -> Iterator[Message]:
    """Yield a message and all messages inside it, at any depth, outer before inner ones."""
    left = [message]
    while left:
        one = left.pop()
        yield one
        inner = [(field, value) for field, value in one.ListFields() if field.message_type is not None]
        for field, value in reversed(inner):
            left.extend(reversed(value) if field.is_repeated else [value])


def _check_text(message: Message, path: str) -> None:
    """Refuse names that are not UTF-8; protobuf returns them as bytes."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING and bytes in map(type, value if field.is_repeated else [value]):
            raise ModelError(f"{path}: {field.name} of a {message.DESCRIPTOR.name} is not UTF-8; the file is damaged")


def _check_tensor(tensor: onnx.TensorProto, path: str, data_files: DataFiles | None) -> None:
    """Refuse a tensor with more or less data than its shape says; bring in data from another file, if it may be there.

    Raises:
        ModelError: The tensor is not valid.
    """
    outside = tensor.data_location == TensorProto.EXTERNAL or tensor.external_data
    if outside and data_files is None:
        raise ModelError(
            f"{path}: {tensor.name!r} keeps its data in another file, which only `tidegate lift` reads; {ONE_FILE}"
        )
    if tensor.data_type not in _TYPES.values() or not tensor.data_type:
        raise ModelError(f"{path}: tensor {tensor.name!r} has data type {tensor.data_type}, which ONNX does not have")
    if min(tensor.dims, default=0) < 0:
        raise ModelError(f"{path}: tensor {tensor.name!r} has shape {list(tensor.dims)}, wanted sizes of 0 and more")
    if outside and data_files is not None:
        data_files.bring_in(tensor, _bytes(tensor))
    held, wanted = _held(tensor), prod(tensor.dims)
    if held != wanted:
        raise ModelError(
            f"{path}: tensor {tensor.name!r} has shape {list(tensor.dims)}, {wanted} values, but data for {held}; "
            "the file is damaged"
        )


def _held(tensor: onnx.TensorProto) -> int:
    """Return the number of values that a tensor holds.

    If values share bytes, this is the number in its shape, provided that it fits the bytes.
    """
    wanted, shared = prod(tensor.dims), _A_BYTE.get(tensor.data_type, 1)
    if tensor.HasField("raw_data"):
        size, itemsize = len(tensor.raw_data), helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        held = size if shared > 1 else size // itemsize if size % itemsize == 0 else -1
    else:
        held = sum(len(getattr(tensor, field)) for field in _TYPED)
        if tensor.data_type in _COMPLEX:
            held = held // 2 if held % 2 == 0 else -1
    return wanted if shared > 1 and held == -(-wanted // shared) else held


def _bytes(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor of its shape and type."""
    wanted, shared = prod(tensor.dims), _A_BYTE.get(tensor.data_type, 1)
    return -(-wanted // shared) if shared > 1 else wanted * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _type_number(kind: onnx.defs.OpSchema.AttrType) -> int:
    return onnx.AttributeProto.AttributeType.Value(str(kind).rpartition(".")[2])


class _Known(NamedTuple):
    """What the standard says of an operator: attributes and their types, the least and the most inputs, their types."""

    attributes: dict[str, int]
    inputs: tuple[int, int]
    types: tuple[frozenset[str], ...]  # the last one is that of all others too


@cache
def _known(op: str, opset: int) -> _Known | None:
    """Return what the standard says of an operator; None for an operator outside the standard."""
    try:
        schema = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return None
    attributes = {name: _type_number(attribute.type) for name, attribute in schema.attributes.items()}
    types = tuple(frozenset(one.types) for one in schema.inputs)
    return _Known(attributes, (schema.min_input, schema.max_input), types)


def _check_node(node: onnx.NodeProto, opset: int, path: str) -> None:
    if not any(node.output):
        raise ModelError(f"{path}: {_named(node)} has no output; the file is damaged")
    twice = next((name for name, count in Counter(a.name for a in node.attribute).items() if count > 1), None)
    if twice is not None:
        raise ModelError(f"{path}: {_named(node)}: attribute {twice!r} is there more than once; export the model again")
    if is_standard(node) and opset <= 0:
        raise ModelError(
            f"{path}: {_named(node)} is of the standard operator set, of which the file imports no version; export the "
            "model again"
        )
    known = _known(node.op_type, opset) if is_standard(node) else None
    if known is None:  # the backend decides later whether it runs this operator
        return
    least, most = known.inputs
    if not least <= len(node.input) <= most:
        raise ModelError(f"{path}: {_named(node)} has {len(node.input)} inputs, wanted {least} to {most}")
    _check_attributes(node, known.attributes, path)


def _check_attributes(node: onnx.NodeProto, known: Mapping[str, int], path: str) -> None:
    for attribute in node.attribute:
        if attribute.name not in known:
            wanted = ", ".join(sorted(known)) or "none"
            raise ModelError(f"{path}: {_named(node)}: attribute {attribute.name!r} is unknown, wanted {wanted}")
        if attribute.type != known[attribute.name] or attribute.ref_attr_name:
            kind = onnx.AttributeProto.AttributeType.Name(known[attribute.name])
            raise ModelError(f"{path}: {_named(node)}: attribute {attribute.name!r} is not of type {kind}")


def _check_types(graph: onnx.GraphProto, opset: int, path: str) -> None:
    """Refuse a constant whose type the node that reads it does not take, as each runtime would in its own way."""
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    constants = (node for node in graph.node if is_standard(node) and node.op_type == "Constant")
    kinds |= {node.output[0]: a.t.data_type for node in constants for a in node.attribute if a.name == "value"}
    for node in graph.node:
        known = _known(node.op_type, opset) if is_standard(node) else None
        for place, name in enumerate(node.input):
            if known is not None and name in kinds:
                _check_type(node, name, kinds[name], known.types[min(place, len(known.types) - 1)], path)


def _check_type(node: onnx.NodeProto, name: str, kind: int, allowed: AbstractSet[str], path: str) -> None:
    seen = TensorProto.DataType.Name(kind).lower()
    if f"tensor({seen})" not in (allowed | _FLOATS if allowed & _FLOATS else allowed):
        wanted = ", ".join(sorted(one.removeprefix("tensor(").removesuffix(")") for one in allowed))
        raise ModelError(f"{path}: {_named(node)} reads {name!r}, which is {seen}, wanted {wanted}; export it again")


def _named(node: onnx.NodeProto) -> str:
    return label(node) if node.name or node.output else f"{node.op_type or 'a node'} without a name"
