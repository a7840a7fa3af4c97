"""What an ONNX file from a stranger must be before anyone looks at it more closely, parsers and checkers included.

The bytes are walked first, field by field and without recursion: how many fields, nodes, and graphs inside graphs there
are decides what parsing, checking and shape inference cost later. Then the message is looked at: what lies outside the
file or says other than it holds is refused, and so are attributes and metadata that nobody here knows the meaning of.
"""

from collections import deque
from collections.abc import Iterator
from functools import cache
from math import prod

import onnx
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper

from ..errors import ModelError
from .nodes import label, opset_of

MAX_NODES = 10_000  # a stacked recurrent net has some hundred; a hostile file may have millions
MAX_FIELDS = 100_000  # of messages, each costs its parser some 100 bytes
MAX_DEPTH = 8  # graphs inside graphs; Silero VAD has 5. Checkers and runtimes double their work at each
METADATA_KEYS = {"tidegate.contract", "tidegate.quantization"}

_TYPES = dict(TensorProto.DataType.items())
# Values that share a byte; onnx of other versions knows fewer of these types.
_SHARING = {"INT4": 2, "UINT4": 2, "FLOAT4E2M1": 2, "INT2": 4, "UINT2": 4}
_A_BYTE = {_TYPES[name]: n for name, n in _SHARING.items() if name in _TYPES}
_COMPLEX = {TensorProto.COMPLEX64, TensorProto.COMPLEX128}
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


class _NotOnnx(Exception):  # noqa: N818  it never leaves this module
    """The bytes are not those of a message."""


def parse(data: bytes, path: str) -> onnx.ModelProto:
    """Return the model that a file holds, once it is known what looking at it costs.

    Raises:
        ModelError: It is not an ONNX file, or one that asks for too much; the message names the node.
    """
    model = onnx.ModelProto()
    try:
        _walk(data, path)
        model.ParseFromString(data)
    except (_NotOnnx, DecodeError):
        raise ModelError(f"{path}: not an ONNX file; export one with `tidegate export`") from None
    if not model.graph.node:
        raise ModelError(f"{path}: not an ONNX file, or one with an empty graph; export one with `tidegate export`")
    _check(model, path)
    return model


# ---- bytes ----


@cache
def _messages(descriptor: Descriptor) -> dict[int, Descriptor]:
    """Return the fields of a message that are messages, by number."""
    return {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise _NotOnnx


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Return number, start and end of each field of a message, as https://protobuf.dev/programming-guides/encoding."""
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 128 else _varint(data, at, end)  # the short way is the usual one
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
    """Count what the file holds, the outer before the inner, and stop where it is too much."""
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


def _check(model: onnx.ModelProto, path: str) -> None:
    for function in model.functions:
        raise ModelError(
            f"{path}: function {function.name!r} is of the file's own; inline it "
            "(onnx.inliner.inline_local_functions) and save it again"
        )
    opset = opset_of(model)
    for message in _parts(model):
        _check_text(message, path)
        if isinstance(message, onnx.SparseTensorProto):
            raise ModelError(f"{path}: {message.values.name!r} is a sparse tensor; save it as a dense one")
        if isinstance(message, onnx.TensorProto):
            _check_tensor(message, path)
        if isinstance(message, onnx.NodeProto):
            if not any(message.output):
                raise ModelError(f"{path}: {_named(message)} has no output; the file is damaged")
            _check_attributes(message, opset, path)
    for item in model.metadata_props:
        if item.key.startswith("tidegate.") and item.key not in METADATA_KEYS:
            raise ModelError(
                f"{path}: metadata {item.key!r} is unknown, wanted {' or '.join(sorted(METADATA_KEYS))}; "
                "the file is of another version, export it again"
            )


def _parts(message: Message) -> Iterator[Message]:
    """Return every message in a message, those of branches too; `_walk` has bounded how deep that goes."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _parts(part)


def _check_text(message: Message, path: str) -> None:
    """Names are text; protobuf hands those that are not out as bytes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING and any(
            isinstance(v, bytes) for v in (value if field.is_repeated else [value])
        ):
            raise ModelError(f"{path}: {field.name} of a {message.DESCRIPTOR.name} is not UTF-8; the file is damaged")


def _check_tensor(tensor: onnx.TensorProto, path: str) -> None:
    """A tensor lies in this file, and its shape says how much of it there is."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(f"{path}: {tensor.name!r} keeps its data in another file; save the model as one file")
    if tensor.data_type not in _TYPES.values() or not tensor.data_type:
        raise ModelError(f"{path}: tensor {tensor.name!r} has data type {tensor.data_type}, which is none")
    if min(tensor.dims, default=0) < 0:
        raise ModelError(f"{path}: tensor {tensor.name!r} has shape {list(tensor.dims)}, wanted sizes of 0 and more")
    held, wanted = _held(tensor), prod(tensor.dims)
    if held != wanted:
        raise ModelError(
            f"{path}: tensor {tensor.name!r} has shape {list(tensor.dims)}, {wanted} values, but data for {held}; "
            "the file is damaged"
        )


def _held(tensor: onnx.TensorProto) -> int:
    """Return how many values a tensor holds; of those that share bytes, as many as its shape says if that fits."""
    wanted, shared = prod(tensor.dims), _A_BYTE.get(tensor.data_type, 1)
    if tensor.HasField("raw_data"):
        size, itemsize = len(tensor.raw_data), helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        held = size if shared > 1 else size // itemsize if size % itemsize == 0 else -1
    else:
        held = sum(len(getattr(tensor, field)) for field in _TYPED)
        held = held // 2 if tensor.data_type in _COMPLEX else held
    return wanted if shared > 1 and held == -(-wanted // shared) else held


def _type_number(kind: onnx.defs.OpSchema.AttrType) -> int:
    return onnx.AttributeProto.AttributeType.Value(str(kind).rpartition(".")[2])


@cache
def _known_attributes(op: str, opset: int) -> dict[str, int] | None:
    """Return the attributes of a standard operator and their types; None for one that is not in the standard."""
    try:
        schema = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return None
    return {name: _type_number(attribute.type) for name, attribute in schema.attributes.items()}


def _check_attributes(node: onnx.NodeProto, opset: int, path: str) -> None:
    known = _known_attributes(node.op_type, opset) if node.domain in ("", "ai.onnx") and opset > 0 else None
    if known is None:  # whether anything runs this operator is the backend's to say
        return
    for attribute in node.attribute:
        if attribute.name not in known:
            wanted = ", ".join(sorted(known)) or "none"
            raise ModelError(f"{path}: {_named(node)}: attribute {attribute.name!r} is unknown, wanted {wanted}")
        if attribute.type != known[attribute.name] or attribute.ref_attr_name:
            kind = onnx.AttributeProto.AttributeType.Name(known[attribute.name])
            raise ModelError(f"{path}: {_named(node)}: attribute {attribute.name!r} is not of type {kind}")


def _named(node: onnx.NodeProto) -> str:
    return label(node) if node.name or node.output else f"{node.op_type or 'a node'} without a name"
