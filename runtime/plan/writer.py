"""Writing a plan: a program as the bytes that the engine reads; docs/plan.md is the specification.

A plan is little-endian. It has a header of 128 bytes, a table of operations of 256 bytes each, a table of outputs, a
JSON text, and arrays; each array starts at a multiple of 64 bytes.
"""

import json
import re
import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..contract import Contract
from ..operators import OPERATORS, Operator, Record
from ..operators.matrix import Matrix, Reading
from ..program import Program
from .magic import MAGIC, SHAPES

VERSION = 2
ALIGNMENT = 64
HASHED_FROM = 48  # the hash is over all bytes from here on
HEADER = struct.Struct("<8sII32sQIIIIQQQQIIII8x")
MATRIX = struct.Struct("<QQIIIIIIif")
OP = struct.Struct("<II2I4i4f48s48s48s2Q2Q32x")

STARTS = 1  # the flag of a plan whose streams do not all start from zeros

KINDS: dict[type[Operator], int] = {operator: kind for kind, operator in enumerate(OPERATORS, 1)}


class PlanHeader(NamedTuple):
    """The fields of a plan's header; see docs/plan.md."""

    magic: bytes
    version: int
    flags: int
    hash: bytes
    size: int
    operations: int
    outputs: int
    input_width: int
    input_kind: int
    operations_at: int
    outputs_at: int
    text_at: int
    text_size: int
    block: int
    lookahead: int
    limit: int
    shapes: int


def read_header(plan: bytes) -> PlanHeader:
    """Return the header of a plan that the engine has checked."""
    return PlanHeader(*HEADER.unpack_from(plan))


class _Blob:
    """Bytes to which aligned arrays are appended."""

    def __init__(self, reserved: int) -> None:
        self.data = bytearray(reserved)

    def append(self, array: Array | bytes) -> int:
        """Append an array and return its offset."""
        self.data.extend(bytes(-len(self.data) % ALIGNMENT))
        offset = len(self.data)
        self.data.extend(array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes())
        return offset


def compile_program(program: Program, contract: Contract) -> bytes:
    """Return the plan of a program.

    Args:
        program: The lowered model.
        contract: Its contract, which goes into the text of the plan.
    """
    ops_bytes = OP.size * len(program.ops)
    outputs_at = -(-(HEADER.size + ops_bytes) // ALIGNMENT) * ALIGNMENT
    blob = _Blob(outputs_at)
    blob.append(np.asarray([value for _, value in program.outputs], "<u4"))
    text = _text(program, contract)
    text_at = blob.append(text)
    records = b"".join(_op_record(blob, op, _starts(program, op)) for op in program.ops)
    blob.data.extend(bytes(-len(blob.data) % ALIGNMENT))
    blob.data[HEADER.size : HEADER.size + ops_bytes] = records
    fields = (len(blob.data), len(program.ops), len(program.outputs), program.input_width, int(program.ids))
    places = (HEADER.size, outputs_at, text_at, len(text))
    flags = STARTS * bool(program.starts) | SHAPES * bool(program.shapes)
    last = (*_grid(program), int(bool(program.shapes)))
    blob.data[: HEADER.size] = HEADER.pack(*PlanHeader(MAGIC, VERSION, flags, b"", *fields, *places, *last))
    return seal(blob.data)


def _grid(program: Program) -> tuple[int, int, int]:
    """Return frames of a block, frames of its lookahead, and 0; or 0, 0 and the limit of a stream of one block."""
    blocks = program.blocks
    return (0, 0, 0) if blocks is None else (blocks.frames or 0, blocks.lookahead, blocks.limit or 0)


def seal(plan: bytes | bytearray) -> bytes:
    """Return a plan with its hash filled in."""
    head, body = plan[: HEADER.size], memoryview(plan)[HASHED_FROM:]
    return b"".join([head[:16], blake2b(body, digest_size=32).digest(), body])


def c_name(text: str) -> str:
    """Return a text as a name in C: characters that C does not allow become underscores."""
    return re.sub(r"^(?=\d)|\W", "_", text, flags=re.ASCII)


def c_source(plan: bytes, stem: str) -> str:
    """Return C source with a plan as the array `STEM_plan` and its size as `STEM_plan_bytes`.

    Args:
        plan: The plan.
        stem: The first part of the names; characters that C does not allow become underscores.
    """
    name = c_name(stem) + "_plan"
    rows = (plan[at : at + 32] for at in range(0, len(plan), 32))
    body = ",\n".join(",".join(map(str, row)) for row in rows)
    return f"""/* A plan of tidegate, hash {read_header(plan).hash.hex()}.
 *
 *     extern const unsigned char {name}[];
 *     extern const size_t {name}_bytes;
 */
#include <stddef.h>

_Alignas({ALIGNMENT}) const unsigned char {name}[] = {{
{body}}};
const size_t {name}_bytes = sizeof {name};
"""


def _text(program: Program, contract: Contract) -> bytes:
    fields: dict[str, Any] = {
        "contract": contract.to_json(),
        "outputs": [name for name, _ in program.outputs],
        "slots": [[slot.name, slot.index] for slot in program.slots],
    }
    if program.shapes:
        fields["shapes"] = [program.shape_of(name) for name, _ in program.outputs]
    if program.frame:
        fields["frame"] = program.frame
    return json.dumps(fields, separators=(",", ":")).encode()


def _padded(values: Sequence[Any], size: int, empty: object = 0) -> list[Any]:
    return [*values, *[empty] * (size - len(values))]


def _starts(program: Program, op: Operator) -> list[Array | None]:
    """Return the vectors that an operation starts from; None for zeros."""
    return [program.starts.get(slot) for slot in op.slots]


def _op_record(blob: _Blob, op: Operator, starts: Sequence[Array | None]) -> bytes:
    """Append the arrays of an operation to the blob and return its record."""
    record: Record = op.record()
    matrices = [_matrix(blob, matrix) for matrix in record.matrices]
    vectors = [_vector(blob, vector) for vector in record.vectors]
    initial = [0 if vector is None else _vector(blob, vector) for vector in starts]
    inputs, counts = _padded(op.inputs, 2), _padded(record.counts, 4)
    numbers = _padded(record.numbers, 4)
    places = [*_padded(matrices, 3, bytes(MATRIX.size)), *_padded(vectors, 2), *_padded(initial, 2)]
    return OP.pack(KINDS[type(op)], record.function, *inputs, *counts, *numbers, *places)


def _matrix(blob: _Blob, matrix: Matrix) -> bytes:
    codes, scales = blob.append(_stored(matrix)), _vector(blob, matrix.scales)
    sizes = matrix.codes.shape
    reads = (matrix.reading.value, matrix.bits, matrix.weight_bits, matrix.group, matrix.exponent)
    return MATRIX.pack(codes, scales, *sizes, *reads, matrix.range if matrix.reading is Reading.CONSTANT else 0)


def _stored(matrix: Matrix) -> Array:
    """Return the codes in the form of a plan: two codes of 4 bits share a byte, the first in the low half."""
    if matrix.weight_bits != 4:
        return matrix.codes.astype({8: "<i1", 16: "<i2", 32: "<f4"}[matrix.weight_bits])
    halves = np.pad(matrix.codes, ((0, 0), (0, matrix.codes.shape[1] % 2))).astype(np.uint8) & 15
    return halves[:, ::2] | halves[:, 1::2] << 4


def _vector(blob: _Blob, values: Array) -> int:
    return blob.append(values.astype("<i4" if values.dtype.kind == "i" else "<f4"))
