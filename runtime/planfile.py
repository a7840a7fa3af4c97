"""Reading a plan: what those who call the engine need of one. docs/plan.md is the specification.

A device imports this and not the writer, which needs every operator: loading takes some milliseconds less.
"""

import json
import os
import struct
from dataclasses import dataclass
from typing import NamedTuple

from .contract import Contract, Slot
from .errors import PlanError

MAGIC = b"TIDEGATE"
HEADER = struct.Struct("<8sII32sQIIIIQQQQIII12x")


class Header(NamedTuple):
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


@dataclass(frozen=True)
class Text:
    """What a plan says for those who call the engine, beside what the engine itself needs.

    Attributes:
        contract: The streaming contract of the model.
        outputs: Names of the outputs in plan order.
        slots: Where each state vector of the engine lives in the contract.
    """

    contract: Contract
    outputs: tuple[str, ...]
    slots: tuple[Slot, ...]


def is_plan(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a plan, by its first bytes; False where there is no file."""
    from pathlib import Path

    source = Path(path)
    if not source.is_file():
        return False
    with source.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(plan: bytes) -> Header:
    """Return the header of a plan that the engine has checked."""
    return Header(*HEADER.unpack_from(plan))


def read_text(plan: bytes) -> Text:
    """Return the text of a plan that the engine has checked.

    Raises:
        PlanError: It is not what it should be.
    """
    header = read_header(plan)
    try:
        fields = json.loads(plan[header.text_at : header.text_at + header.text_size])
        slots = tuple(Slot(str(name), int(row)) for name, row in fields["slots"])
        return Text(Contract.from_json(fields["contract"]), tuple(map(str, fields["outputs"])), slots)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PlanError(f"plan: text is not readable ({error}); the file is damaged, compile it again") from None
