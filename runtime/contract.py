"""The contract: what a model file says of its streaming.

It stands as JSON in the ONNX metadata under `tidegate.contract`. States are paired by name, never by
position: each says which graph output feeds which graph input.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Self, TypeVar

import numpy as np

from .arrays import Array
from .errors import ContractError

METADATA_KEY = "tidegate.contract"
VERSION = 2
MAX_VALUES = 2**24  # of one state
MOST_LOOKAHEAD = 2**20  # frames that an answer may wait for, and frames of a block

ADDED: dict[int, dict[str, Any]] = {1: {"blocks": None, "ahead": []}}
"""What a file of an older version does not say."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Port:
    """A graph input or output that carries signal.

    Attributes:
        name: The name in the graph.
        time_axis: The axis that counts frames; None for an output that has one answer a chunk
            (that of its last frame).
        batch_axis: The axis that counts streams, or None.
    """

    name: str
    time_axis: int | None
    batch_axis: int | None


@dataclass(frozen=True)
class State:
    """A pair of a graph input and the graph output that feeds it at the next chunk.

    Attributes:
        input: Name of the graph input, e.g. `lstm.h_in`.
        output: Name of the graph output, e.g. `lstm.h_out`.
        kind: `h` (hidden), `c` (cell), `tail` (the last frames that a convolution read) or `state` (several of these
            in one tensor of a file of others).
        shape: Shape of both: `[layers, batch, hidden]`, of a tail `[batch, channels, frames]`; the axis that counts
            streams is the string `batch`.
        initial: `zeros`.
    """

    input: str
    output: str
    kind: str
    shape: tuple[int | str, ...]
    initial: str = "zeros"

    def concrete_shape(self, batch: int = 1) -> tuple[int, ...]:
        """Return the shape for a number of streams."""
        return tuple(batch if isinstance(size, str) else size for size in self.shape)


@dataclass(frozen=True)
class Blocks:
    """The grid on which backward directions start anew, counted from the start of the stream, never from a push.

    Attributes:
        frames: Frames of a block; None: the whole stream is one block, whose answers come at its end.
        lookahead: Frames behind a block from which its backward directions start; 0 for the whole stream.
        limit: Most frames of a stream where the whole of it is one block, else None.
    """

    frames: int | None
    lookahead: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class Ahead:
    """A convolution along time that looks ahead.

    Attributes:
        node: The name of its node, which pads the frames on both sides.
        frames: How many frames.
    """

    node: str
    frames: int


@dataclass(frozen=True)
class Contract:
    """The streaming contract of one model file.

    Attributes:
        inputs: Signal inputs.
        outputs: Signal outputs.
        states: State pairs.
        lookahead: The most frames that come in after a frame before its answer is there: 0 for a causal model; None
            where that is the whole stream.
        sample_rate: Samples a second of the signal, if known.
        hop: Samples a frame advances, if known.
        blocks: The grid of the backward directions; None where there are none.
        ahead: The convolutions that look ahead.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...]
    lookahead: int | None = 0
    sample_rate: float | None = None
    hop: int | None = None
    blocks: Blocks | None = None
    ahead: tuple[Ahead, ...] = ()

    def __post_init__(self) -> None:
        names = [s.input for s in self.states] + [s.output for s in self.states]
        names += [p.name for p in self.inputs + self.outputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ContractError(f"contract: {', '.join(twice)} stands more than once; every name has one role")
        whole = self.blocks is not None and self.blocks.frames is None
        if (self.lookahead is None) != whole:
            raise ContractError(
                f"contract: lookahead is {self.lookahead}, wanted {'null' if whole else 'a number'} with blocks of "
                f"{'the whole stream' if whole else 'fixed frames or none'}"
            )

    @property
    def frame_seconds(self) -> float | None:
        """Time between two frames in seconds, or None when the contract does not state it."""
        return None if self.sample_rate is None else (self.hop or 1) / self.sample_rate

    @property
    def looks_ahead(self) -> bool:
        """Whether answers come in other pushes than their frames, or for blocks of one frame with them."""
        return bool(self.blocks or self.ahead)

    def to_json(self) -> str:
        """Return the JSON text that stands in a file's metadata."""
        return json.dumps({"version": VERSION} | asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a contract.

        Raises:
            ContractError: The text is not JSON, is of an unknown version, or has a missing, unknown or
                ill-typed field.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ContractError(f"contract: not JSON ({error}); export the model again") from None
        version = fields.pop("version", None) if isinstance(fields, dict) else type(fields).__name__
        if version not in (*ADDED, VERSION) or type(version) is not int:
            raise ContractError(
                f"contract: version {version}, this tidegate reads 1 to {VERSION}; export the model again"
            )
        if version in ADDED:
            _refuse_fields(fields, ADDED[version])
            fields |= ADDED[version]
        records = {"inputs": Port, "outputs": Port, "states": State, "ahead": Ahead}
        read = {key: _records(records[key], value, key) if key in records else value for key, value in fields.items()}
        if read.get("blocks") is not None:
            read["blocks"] = _blocks(read["blocks"])
        return _build(cls, read, "contract")


def state_arrays(contract: Contract) -> dict[str, Array]:
    """Return the initial state of one stream by the contract's input names."""
    return {state.input: np.zeros(state.concrete_shape(), np.float32) for state in contract.states}


@dataclass(frozen=True)
class Slot:
    """Where a state vector lives in the contract: row `row` of the state whose input is `name`."""

    name: str
    row: int


HIDDEN = Slot("", 0)  # of a state vector that the contract does not name


def _values(shape: tuple[int | str, ...]) -> int:
    """Return the values of a state of one stream."""
    return prod(size for size in shape if isinstance(size, int))


def _is_size(value: object) -> bool:
    return value == "batch" or (type(value) is int and 0 < value <= 65536)


_CHECKS: dict[str, Any] = {
    "name": lambda v: isinstance(v, str) and v != "",
    "input": lambda v: isinstance(v, str) and v != "",
    "output": lambda v: isinstance(v, str) and v != "",
    "time_axis": lambda v: v is None or (type(v) is int and 0 <= v < 8),
    "batch_axis": lambda v: v is None or (type(v) is int and 0 <= v < 8),
    "kind": lambda v: v in ("h", "c", "tail", "state"),
    "shape": lambda v: isinstance(v, tuple) and 0 < len(v) < 8 and all(map(_is_size, v)) and _values(v) <= MAX_VALUES,
    "initial": lambda v: v == "zeros",
    "lookahead": lambda v: v is None or (type(v) is int and 0 <= v <= MOST_LOOKAHEAD),
    "frames": lambda v: v is None or (type(v) is int and 0 < v <= MOST_LOOKAHEAD),
    "limit": lambda v: v is None or (type(v) is int and 0 < v <= MOST_LOOKAHEAD),
    "blocks": lambda v: v is None or isinstance(v, Blocks),
    "node": lambda v: isinstance(v, str) and v != "",
    "ahead": lambda v: isinstance(v, tuple),
    "sample_rate": lambda v: v is None or (type(v) in (int, float) and 0 < v < 1e12),
    "hop": lambda v: v is None or (type(v) is int and 0 < v < 2**31),
    "inputs": bool,
    "outputs": bool,
    "states": lambda _: True,
}


def _refuse_fields(fields: Mapping[str, Any], newer: Mapping[str, Any]) -> None:
    odd = sorted(set(fields) & set(newer))
    if odd:
        raise ContractError(f"contract: missing or unknown field {', '.join(odd)}; it is of a newer version")


def _blocks(fields: Mapping[str, Any]) -> Blocks:
    """Read the grid: blocks of fixed frames with a lookahead, or the whole stream with a limit."""
    blocks = _build(Blocks, fields, "contract: blocks")
    if fields["lookahead"] is None or (blocks.frames is None) != (blocks.limit is not None):
        raise ContractError(f"contract: blocks = {blocks} is not allowed; wanted frames or a limit, not both")
    if blocks.frames is None and blocks.lookahead:
        raise ContractError(f"contract: blocks: lookahead = {blocks.lookahead} is not allowed behind the whole stream")
    return blocks


def _records(kind: type[_T], values: object, where: str) -> tuple[_T, ...]:
    if not isinstance(values, list):
        raise ContractError(f"contract: {where} is {type(values).__name__}, wanted a list")
    return tuple(_build(kind, value, f"contract: {where}[{i}]") for i, value in enumerate(values))


def _build(kind: type[_T], fields: Mapping[str, Any], where: str) -> _T:
    if not isinstance(fields, Mapping):
        raise ContractError(f"{where} is {type(fields).__name__}, wanted an object")
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if set(fields) != known:
        odd = sorted(set(fields) ^ known)
        raise ContractError(f"{where}: missing or unknown field {', '.join(odd)}; wanted {', '.join(sorted(known))}")
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
    for key, value in fields.items():
        if not _CHECKS[key](value):
            raise ContractError(f"{where}: {key} = {value!r} is not allowed")
    return kind(**fields)
