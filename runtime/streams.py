"""Streams, groups and models: what a user holds, on every backend."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np

from .arrays import Answer, Array, Chunk, as_integers
from .errors import ChunkError

if TYPE_CHECKING:
    from .contract import Contract, Piece  # read when it is first asked for: its import takes 6 ms of a start

Kind = TypeVar("Kind", bound=type)

Gap = Literal["hold", "zeros", "reset"]
GAPS: tuple[Gap, ...] = get_args(Gap)
_PLACE = re.compile(r"chunk holds .+ at frame (?P<frame>\d+), feature (?P<feature>\d+)(?P<wanted>;.+)")
FINISHED = "the stream was finished; reset() starts a new one"
SNAPSHOT_MODEL = slice(56, 88)  # where a snapshot has the hash of its model, on every backend


class Health(NamedTuple):
    """How a stream is, from its state alone.

    Gates are not visible from outside of a cell; what they leave in its state is. An h near 1 says that the output gate
    is open to the end and c is large; a tanh(c) near 1 says that h no longer follows c.

    Attributes:
        frames: Frames since the stream was new.
        norms: The root mean square of each state, by the contract's input names.
        saturated: The share of the values of each h with a magnitude of at least 0.99, and of those of each c whose
            tanh has one, by name.
    """

    frames: int
    norms: dict[str, float]
    saturated: dict[str, float]


class Stream(Protocol):
    """One sequence in progress: a model plus its state."""

    def push(self, chunk: Chunk, *, out: Array | None = None) -> Answer:
        """Stream a chunk; the state carries over to the next.

        Args:
            chunk: float32 `[frames, features]`; integers `[frames]` for a model that reads ids. No frames are legal:
                nothing changes. For a model with several signals a dict: the frames of each by name, equally many; for
                one signal a dict is taken too.
            out: float32, C-contiguous, of the answer's shape: written and returned in place of a fresh
                array; for models with one output. It may share memory with the chunk, which is then copied first.

        Returns:
            `[frames, width]` for an output with a time axis, `[width]` for one that answers for the
            chunk's last frame (`[0]` if there is none); several outputs come as a dict by name. Where the model looks
            ahead, the frames that became ready, which may be none: `[0, width]`, or `[0]` for an answer without a
            time axis. Answers of other axes in the file have them here too, e.g. `[frames, directions, hidden]`; the
            first axis of an answer that is not there has the size 0, so that answers can be joined.

        Raises:
            ChunkError: Wrong shape, type or names of signals, a value that is not finite or above 2^64, an id that is
                not in the table, or more frames than a stream may have whose answers come at its end. The state is
                unchanged.
            BackendError: Another thread uses the stream, or on the engine this thread does not round to nearest.
        """

    def finish(self) -> Answer | None:
        """End the stream, and return what a lookahead still holds back.

        Returns:
            As from `push`; None where nothing was held back, as in every causal model. A later push is refused
            until `reset`.

        Raises:
            ChunkError: The stream was finished before, or a value inside the model leaves 2^64.
        """

    def skip(self, frames: int, policy: "Gap") -> Answer | None:
        """Tell the stream that frames were lost before the next one.

        Args:
            frames: Their number. 0 changes nothing.
            policy: `hold` keeps the state as it is, as if the frames had never been due. `zeros` streams frames of
                zeros in their place. `reset` ends the stream and starts it anew, as `finish` and `reset` do.

        Returns:
            `zeros`: the answers that became ready, as from a push. `reset`: as from `finish`. Else None.

        Raises:
            ChunkError: There is no such policy, the number is negative, or the model reads ids and has no frame of
                zeros; the state is unchanged.
        """

    @property
    def finished(self) -> bool:
        """Whether `finish` ended the stream."""

    def reset(self) -> None:
        """Make the stream as new: it starts from the model's initial state again."""

    def snapshot(self) -> bytes:
        """Return the stream as bytes: its state and counters, tied to its model; see docs/snapshot.md.

        A stream of the same model goes on from it with the same bits, in another process too, and on the engine
        with another instruction set.
        """

    def restore(self, snapshot: bytes) -> None:
        """Go on from where a snapshot was taken.

        Raises:
            SnapshotError: It is truncated, altered, of another model or of another backend. The stream is unchanged.
        """

    def fork(self) -> "Stream":
        """Return another stream of the model, which goes on from the same state."""

    @property
    def frames(self) -> int:
        """Frames consumed since the stream was new; stays at 2^64 - 1."""

    @property
    def refused(self) -> int:
        """Frames of chunks that were refused for a value in them or inside the model; stays at 2^64 - 1."""

    def health(self) -> Health:
        """Return how the stream is: frames, norms and saturation of its states. It costs about as much as `state`."""

    def state(self) -> dict[str, Array]:
        """Return a copy of the state by the contract's input names, e.g. `lstm.h_in` `[layers, 1, hidden]`."""

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Go on from given states; counters, states that are not given and frames held back stay as they are.

        Args:
            state: States by the contract's input names, float32 in the shapes that `state()` gives.

        Raises:
            StateError: The model has no such state, a shape or type is wrong, a value is not finite or above 2^64, or
                the stream is finished. The stream is unchanged.
        """


class Group(Protocol):
    """Streams of one model in numbered rows, pushed together: the engine reads its weights once for several rows.

    A row gives the bits that its stream gives alone, whatever the rows beside it hold. Rows join, leave and are reset
    at any time. A group belongs to one caller at a time, with all its rows: a second one gets a BackendError.

    Every call that names a row raises RowError where the group has no such row or nobody has joined it.
    """

    @property
    def rows(self) -> int:
        """Rows, taken and free."""

    @property
    def joined(self) -> tuple[int, ...]:
        """Rows with a stream, ascending: those that a push without `rows` takes."""

    def push(self, chunks: Chunk, rows: Sequence[int] | None = None, *, out: Array | None = None) -> Answer:
        """Stream a chunk of each row; their states carry over to the next.

        Args:
            chunks: float32 `[rows, frames, features]`; integers `[rows, frames]` for a model that reads ids; a dict of
                these for a model with several signals.
            rows: The rows that the chunks belong to, each once, in any order; the others rest. Default: `joined`.
            out: float32, C-contiguous, of the answer's shape: written and returned in place of a fresh
                array; for models with one output.

        Returns:
            `[rows, frames, width]` for an output with a time axis, `[rows, width]` for one that answers for each
            chunk's last frame; several outputs come as a dict by name.

        Raises:
            RefusedRowsError: Chunks of some rows hold what is refused: their states are unchanged. The others were
                streamed; the error carries their answers, and why each row was refused.
            ChunkError: Wrong shape or type; nothing was streamed.
            RowError: A row is named twice, is not there or has not joined; nothing was streamed.
        """

    def join(self, row: int | None = None, state: Mapping[str, Array] | None = None) -> int:
        """Start a stream in a free row and return the row.

        Args:
            row: The row; None: the first free one.
            state: States to start from, as for `Model.stream`.

        Raises:
            RowError: The row is taken, or all are.
            StateError: A state is refused; the row stays free.
        """

    def leave(self, row: int) -> None:
        """End the stream in a row; what it carried is cleared at once, and the row is free."""

    def reset(self, row: int) -> None:
        """Make the stream in a row as new: it starts from the model's initial state again."""

    def snapshot(self, row: int) -> bytes:
        """Return the stream in a row as bytes, which any stream or row of the model goes on from."""

    def restore(self, row: int, snapshot: bytes) -> None:
        """Go on in a row from where a snapshot of any stream or row of the model was taken.

        Raises:
            SnapshotError: It is truncated, altered, of another model or of another backend. The row is unchanged.
        """

    def fork(self, row: int) -> int:
        """Start a stream in the first free row, which goes on from the state of another; return the new row.

        Raises:
            RowError: No row is free.
        """

    def frames(self, row: int) -> int:
        """Frames that a row consumed since its stream was new; stays at 2^64 - 1."""

    def refused(self, row: int) -> int:
        """Frames of a row's chunks that were refused for a value in them or inside the model; stays at 2^64 - 1."""

    def state(self, row: int) -> dict[str, Array]:
        """Return a copy of a row's state by the contract's input names, e.g. `lstm.h_in` `[layers, 1, hidden]`."""

    def set_state(self, row: int, state: Mapping[str, Array]) -> None:
        """Go on in a row from given states, as `Stream.set_state` does.

        Raises:
            StateError: A state is refused. The row is unchanged.
        """


class Model(Protocol):
    """A loaded model; it is read-only and serves any number of streams."""

    @property
    def contract(self) -> "Contract":
        """What the file says of its streaming."""

    @property
    def backend(self) -> str:
        """What executes it, e.g. `native (avx512_vnni)`."""

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The sizes of one frame, signals side by side: `(features,)`, or several; empty for a model that reads ids."""

    def stream(self, state: Mapping[str, Array] | None = None) -> Stream:
        """Start a stream from the model's initial state.

        Args:
            state: States to start from instead, by the contract's input names, e.g. `lstm.h_in`: float32 in their
                shapes for one stream, e.g. `[layers, 1, hidden]`. States that are not given start as in the model.
                `reset()` goes back to the model's own.

        Raises:
            StateError: The model has no such state, a shape or type is wrong, or a value is not finite or above 2^64.
        """

    def streams(self, rows: int) -> Group:
        """Start streams in a group of so many rows, all joined, from the initial state.

        Raises:
            RowError: `rows` is below 1 or above 2^20.
            UnsupportedError: The model looks ahead: its rows would answer at different times.
        """

    @property
    def hash(self) -> bytes:
        """The hash of the model, 32 bytes, which its snapshots carry."""

    @property
    def layout(self) -> str:
        """The layout of the state as text: two models with the same one may go on from each other's snapshots."""

    def adopt(self, snapshot: bytes, layout: str) -> bytes:
        """Return a snapshot of another model as one of this model, e.g. after more training; see docs/snapshot.md.

        Args:
            snapshot: The snapshot, taken on the same backend.
            layout: The layout of the model that it was taken of.

        Raises:
            SnapshotError: The layouts differ, a model looks ahead, or the snapshot is damaged.
        """


def the_signal(contract: "Contract", chunk: Chunk) -> Array:
    """Return the frames of a model's only signal, which a dict may give by name; samples as whole frames of a hop.

    Raises:
        ChunkError: The dict has another name, or samples are no whole frames.
    """
    if isinstance(chunk, Mapping):
        _check_names(contract.signals, chunk)
        chunk = chunk[contract.signals[0]]
    if not contract.samples or np.ndim(chunk) != 1:
        return chunk
    rest = len(chunk) % (contract.hop or 1)
    if rest:
        raise ChunkError(
            f"chunk has {len(chunk)} samples, wanted whole frames of {contract.hop}; keep the last {rest} for the next "
            "push; chunk refused, state unchanged"
        )
    return np.reshape(chunk, (-1, contract.hop or 1))


def side_by_side(contract: "Contract", chunk: Chunk, lead: int = 1) -> Array:
    """Return the signals of a chunk side by side, float32 `[frames, features]`; a chunk of one signal as it is.

    Args:
        contract: The contract of the model.
        chunk: `[frames, ...]` of each by name, ids as integers; for a model with one signal also the frames alone.
        lead: Axes before those of a frame: 1; for a group 2, rows and frames.

    Raises:
        ChunkError: There are several signals and the chunk is no dict, a signal is missing or unknown, or one has a
            wrong shape, type or number of frames.
    """
    if not contract.pieces:
        return the_signal(contract, chunk)
    if not isinstance(chunk, Mapping):
        raise ChunkError(f"chunk is {type(chunk).__name__}, wanted a dict of the signals {', '.join(contract.signals)}")
    _check_names(contract.signals, chunk)
    parts = {piece.name: _frames_of(piece, np.asarray(chunk[piece.name]), lead) for piece in contract.pieces}
    (first, wanted), *others = ((name, part.shape[:lead]) for name, part in parts.items())
    for name, seen in others:
        if seen != wanted:
            what = "rows and frames" if lead > 1 else "frames"
            numbers = " and ".join(" x ".join(map(str, sizes)) for sizes in (seen, wanted))
            raise ChunkError(f"signals {name!r} and {first!r} have {numbers} {what}, wanted the same number of each")
    with np.errstate(over="ignore"):  # too large a value becomes infinity, which is refused
        return np.concatenate(list(parts.values()), -1, dtype=np.float32, casting="same_kind")


def apart(pieces: Sequence["Piece"], frames: Array) -> Chunk:
    """Return a chunk as a push takes it, from its signals side by side: `[..., features]`; one signal as it is."""
    if not pieces:
        return frames
    ends = np.cumsum([piece.features for piece in pieces])
    parts = zip(pieces, np.split(frames, ends[:-1], -1), strict=True)
    shaped = ((piece, part.reshape(*frames.shape[:-1], *piece.shape)) for piece, part in parts)
    return {piece.name: as_integers(part) if piece.ids else part for piece, part in shaped}


def in_signal(pieces: Sequence["Piece"], frames: Array, error: ChunkError) -> ChunkError:
    """Return the refusal of a chunk `[frames, features]`, with the signal that a refused value is in."""
    place = _PLACE.match(str(error)) if pieces else None
    if place is None:
        return error
    frame, feature = int(place["frame"]), int(place["feature"])
    value, ends = frames[frame, feature], np.cumsum([piece.features for piece in pieces])
    piece = pieces[int(np.searchsorted(ends, feature, "right"))]
    feature += piece.features - int(ends[pieces.index(piece)])
    seen, where = (f"id {value:.0f}", "") if piece.ids else (value, f", feature {feature}")
    return type(error)(f"chunk holds {seen} in signal {piece.name!r} at frame {frame}{where}{place['wanted']}")


def _check_names(names: Sequence[str], chunk: Mapping[str, Array]) -> None:
    for name in chunk:
        if name not in names:
            raise ChunkError(f"chunk has a signal {name!r}, which the model has not; it has {', '.join(names)}")
    for name in names:
        if name not in chunk:
            raise ChunkError(f"chunk has no signal {name!r}; the model has {', '.join(names)}")


def _frames_of(piece: "Piece", values: Array, lead: int) -> Array:
    if values.ndim != lead + len(piece.shape) or values.shape[lead:] != piece.shape:
        wanted = ", ".join(map(str, (*("rows", "frames")[2 - lead :], *piece.shape)))
        raise ChunkError(f"signal {piece.name!r} has shape {values.shape}, wanted ({wanted})")
    wanted = "ids, which are integers" if piece.ids else "float32"
    if values.dtype.kind not in "iu" if piece.ids else not np.can_cast(values.dtype, np.float32, "same_kind"):
        raise ChunkError(f"signal {piece.name!r} has dtype {values.dtype}, wanted {wanted}")
    return values.reshape(*values.shape[:lead], piece.features)


def documented(protocol: type) -> Callable[[Kind], Kind]:
    """Give the members of a class the documentation of the protocol's members of the same names.

    So it is written once, here. The members of the engine's C++ class take theirs in runtime/kernels/binding.
    """

    def document(kind: Kind) -> Kind:
        for name, member in vars(protocol).items():
            own = vars(kind).get(name)
            if not name.startswith("_") and own is not None:
                own.__doc__ = member.__doc__
        return kind

    return document
