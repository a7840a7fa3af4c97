"""The contract: what a model file says about its streaming.

It is JSON in the ONNX metadata under `tidegate.contract`. States are paired by name, never by position: each state says
which graph output feeds which graph input.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from math import prod
from typing import Any, Self, TypeVar

import numpy as np

from .arrays import Array
from .errors import ContractError, StateError, UnsupportedError

METADATA_KEY = "tidegate.contract"
VERSION = 4
MAX_VALUES = 2**24  # the most values of all states together
MOST_PORTS = 1024  # the most entries of a list: a stranger's file may list millions
ZEROS = "zeros"  # the `initial` of a state that starts from zeros
MOST_BACKWARD = 64  # layers in a row that run backward: each has its clock, and what recurs over clocks must end
MOST_LOOKAHEAD = 2**20  # the most frames that an answer may wait for, and the most frames of a block

_SAMPLED: dict[str, Any] = {"samples": False, "fixed": []}
ADDED: dict[int, dict[str, Any]] = {
    1: {"blocks": None, "ahead": [], "pieces": [], **_SAMPLED},
    2: {"pieces": [], **_SAMPLED},
    3: _SAMPLED,
}
"""Fields that files of an older version do not have, and their values there."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Port:
    """A graph input or output that holds a signal.

    Attributes:
        name: The name in the graph.
        time_axis: The axis that counts frames; None for an output that gives one answer per chunk (for its last
            frame).
        batch_axis: The axis that counts streams, or None.
    """

    name: str
    time_axis: int | None
    batch_axis: int | None


@dataclass(frozen=True)
class Piece:
    """One of several signals. Their features are side by side in the one input of the graph.

    Attributes:
        name: Its name.
        shape: The sizes of one frame, e.g. `[32]`, or `[2, 96]` for frames with two axes; empty for one id.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def ids(self) -> bool:
        """Whether a frame is one id: a whole number, side by side with the features of the other signals."""
        return not self.shape

    @property
    def features(self) -> int:
        """Values of one frame."""
        return prod(self.shape)


@dataclass(frozen=True)
class State:
    """A pair of a graph input and the graph output that feeds it at the next chunk.

    Attributes:
        input: Name of the graph input, e.g. `lstm.h_in`.
        output: Name of the graph output, e.g. `lstm.h_out`.
        kind: `h` (hidden), `c` (cell), `tail` (the last frames that a convolution read), `state` (several of these
            in one tensor of a third-party file) or `static` (an input that stays the same until the caller sets it).
        shape: The shape of both: `[layers, batch, hidden]`, or `[batch, channels, frames]` for a tail. The axis that
            counts streams is the string `batch`.
        initial: `zeros`, or the name of the initializer that a stream starts from: float32, of the shape for one
            stream.
    """

    input: str
    output: str
    kind: str
    shape: tuple[int | str, ...]
    initial: str = ZEROS

    def concrete_shape(self, batch: int = 1) -> tuple[int, ...]:
        """Return the shape for the given number of streams."""
        return tuple(batch if isinstance(size, str) else size for size in self.shape)


@dataclass(frozen=True)
class Blocks:
    """The grid of blocks: in each block the backward directions start again.

    Blocks are counted from the start of the stream, never from a push.

    Attributes:
        frames: Frames of a block; None: the whole stream is one block, and its answers come at the end.
        lookahead: Frames after a block that its backward directions read first; 0 if the whole stream is one block.
        limit: The most frames of a stream if the whole stream is one block, else None.
    """

    frames: int | None
    lookahead: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class Ahead:
    """A convolution along time that looks ahead.

    Attributes:
        node: The name of its node. The node pads the frames on both sides.
        frames: The number of frames that it looks ahead.
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
        lookahead: The most frames that must come after a frame before its answer is there: 0 for a causal model; None
            if an answer waits for the whole stream.
        sample_rate: Samples per second of the signal, if known.
        hop: Samples from one frame to the next, if known.
        blocks: The grid of the backward directions; None if there are none.
        ahead: The convolutions that look ahead.
        pieces: The signals, if there are several, in the order of their features in the input; else empty.
        samples: Whether a frame is the `hop` new samples themselves: a front end inside the model turns them into
            features. False: the frames are features, made outside of every `hop` samples.
        fixed: The weights that are no trained ones: the matrices of front ends. Quantization leaves them float32.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: tuple[State, ...]
    lookahead: int | None = 0
    sample_rate: float | None = None
    hop: int | None = None
    blocks: Blocks | None = None
    ahead: tuple[Ahead, ...] = ()
    pieces: tuple[Piece, ...] = ()
    samples: bool = False
    fixed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [s.input for s in self.states] + [s.output for s in self.states]
        names += [p.name for p in self.inputs + self.outputs + self.pieces]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise ContractError(f"contract: {', '.join(twice)} is named more than once; every name has one role")
        odd = [state.input for state in self.states if not state.shape]
        if odd:
            raise ContractError(f"contract: state {odd[0]!r} has shape (), wanted sizes; only a signal of ids has none")
        values = sum(_values(state.shape) for state in self.states)
        if values > MAX_VALUES:
            raise ContractError(f"contract: the states hold {values} values, at most {MAX_VALUES} are allowed")
        free = any(isinstance(size, str) for piece in self.pieces for size in piece.shape)
        if free or (self.pieces and (len(self.pieces) < 2 or len(self.inputs) != 1)):
            raise ContractError(
                f"contract: pieces = {self.pieces} of {len(self.inputs)} inputs; wanted two or more signals of fixed "
                "sizes in one input, or none"
            )
        if self.samples and (self.hop is None or self.pieces):
            raise ContractError(
                f"contract: samples is true with hop = {self.hop} and {len(self.pieces)} pieces; wanted the samples of "
                "a frame in hop, and one signal"
            )
        whole = self.blocks is not None and self.blocks.frames is None
        if (self.lookahead is None) != whole:
            raise ContractError(
                f"contract: lookahead is {self.lookahead}, wanted {'null' if whole else 'a number'} with blocks of "
                f"{'the whole stream' if whole else 'fixed frames or none'}"
            )

    @property
    def frame_seconds(self) -> float | None:
        """Time from one frame to the next in seconds; None if the contract gives no sample rate."""
        return None if self.sample_rate is None else (self.hop or 1) / self.sample_rate

    @property
    def looks_ahead(self) -> bool:
        """Whether the model has blocks or convolutions that look ahead: then an answer may come in a later push."""
        return bool(self.blocks or self.ahead)

    @property
    def signals(self) -> tuple[str, ...]:
        """The names of the signals: what a push takes by name if there are several."""
        return tuple(signal.name for signal in self.pieces or self.inputs)

    def to_json(self) -> str:
        """Return the JSON text for a file's metadata, in the oldest version that has its fields from 2 on."""
        version, fields = (VERSION if self.samples or self.fixed else 3 if self.pieces else 2), asdict(self)
        kept = {key: value for key, value in fields.items() if key not in ADDED.get(version, {})}
        return json.dumps({"version": version} | kept, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a contract.

        Raises:
            ContractError: The text is not JSON, has an unknown version, or a field is missing, unknown or of a wrong
                type.
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
        records = {"inputs": Port, "outputs": Port, "states": State, "ahead": Ahead, "pieces": Piece}
        read = {key: _records(records[key], value, key) if key in records else value for key, value in fields.items()}
        if read.get("blocks") is not None:
            read["blocks"] = _blocks(read["blocks"])
        return _build(cls, read, "contract")


def require_few_backward(layers: int) -> None:
    """Refuse too many layers in a row that run backward.

    Raises:
        UnsupportedError: There are more than `MOST_BACKWARD`.
    """
    if layers > MOST_BACKWARD:
        raise UnsupportedError(
            f"{layers} layers that run backward follow each other, no backend takes more than {MOST_BACKWARD}; "
            "export a model with fewer layers"
        )


def features_of_ids(pieces: Sequence[Piece]) -> list[int]:
    """Return the features of a frame that hold ids."""
    ends = accumulate(piece.features for piece in pieces)
    return [end - 1 for piece, end in zip(pieces, ends, strict=True) if piece.ids]


def state_arrays(contract: Contract) -> dict[str, Array]:
    """Return zeros in the shape of each state of one stream, by the contract's input names."""
    return {state.input: np.zeros(state.concrete_shape(), np.float32) for state in contract.states}


def checked_state(contract: Contract, given: Mapping[str, Array]) -> dict[str, Array]:
    """Return states given by name as float32 copies.

    Args:
        contract: The contract of the model.
        given: Some of its states by their input names, each in its shape for one stream, e.g. `[layers, 1, hidden]`.

    Raises:
        StateError: A name is not that of a state, or a shape, type or value is refused.
    """
    shapes = {state.input: state.concrete_shape() for state in contract.states}
    for name in given:
        if name not in shapes:
            raise StateError(f"state {name!r} is not one of the model, which has {', '.join(shapes) or 'none'}")
    return {name: _state_values(name, values, shapes[name]) for name, values in given.items()}


def _state_values(name: str, given: Array, shape: tuple[int, ...]) -> Array:
    values = np.asarray(given)
    if values.shape != shape or not np.can_cast(values.dtype, np.float32, "same_kind"):
        raise StateError(f"state {name!r} is {values.dtype} {values.shape}, wanted float32 {shape}")
    odd = values[~(np.abs(values) <= 2.0**64)]
    if odd.size:
        raise StateError(f"state {name!r} holds {odd[0]}, wanted finite values up to 2^64")
    return values.astype(np.float32)


@dataclass(frozen=True)
class Slot:
    """The place of a state vector in the contract: entry `index` of the state whose input is `name`."""

    name: str
    index: int


HIDDEN = Slot("", 0)  # the place of a state vector that the contract does not name


def _values(shape: tuple[int | str, ...]) -> int:
    """Return the number of values of a state of one stream."""
    return prod(size for size in shape if isinstance(size, int))


def _is_size(value: object) -> bool:
    return value == "batch" or (type(value) is int and 0 < value <= 65536)


_CHECKS: dict[str, Any] = {
    "name": lambda v: isinstance(v, str) and v != "",
    "input": lambda v: isinstance(v, str) and v != "",
    "output": lambda v: isinstance(v, str) and v != "",
    "time_axis": lambda v: v is None or (type(v) is int and 0 <= v < 8),
    "batch_axis": lambda v: v is None or (type(v) is int and 0 <= v < 8),
    "kind": lambda v: v in ("h", "c", "tail", "state", "static"),
    "shape": lambda v: isinstance(v, tuple) and len(v) < 8 and all(map(_is_size, v)) and _values(v) <= MAX_VALUES,
    "initial": lambda v: isinstance(v, str) and v != "",
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
    "pieces": lambda v: isinstance(v, tuple),
    "samples": lambda v: isinstance(v, bool),
    "fixed": lambda v: isinstance(v, tuple) and len(v) <= MOST_PORTS and all(isinstance(name, str) for name in v),
}


def _refuse_fields(fields: Mapping[str, Any], newer: Mapping[str, Any]) -> None:
    odd = sorted(set(fields) & set(newer))
    if odd:
        raise ContractError(f"contract: missing or unknown field {', '.join(odd)}; it belongs to a newer version")


def _blocks(fields: Mapping[str, Any]) -> Blocks:
    """Read the grid: blocks of a fixed length with a lookahead, or the whole stream with a limit."""
    blocks = _build(Blocks, fields, "contract: blocks")
    if fields["lookahead"] is None or (blocks.frames is None) != (blocks.limit is not None):
        raise ContractError(f"contract: blocks = {blocks} is not allowed; wanted frames or a limit, not both")
    if blocks.frames is None and blocks.lookahead:
        raise ContractError(f"contract: blocks: lookahead = {blocks.lookahead} is not allowed after the whole stream")
    return blocks


def _records(kind: type[_T], values: object, where: str) -> tuple[_T, ...]:
    if not isinstance(values, list):
        raise ContractError(f"contract: {where} is {type(values).__name__}, wanted a list")
    if len(values) > MOST_PORTS:
        raise ContractError(f"contract: {where} has {len(values)} entries, at most {MOST_PORTS} are read")
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
