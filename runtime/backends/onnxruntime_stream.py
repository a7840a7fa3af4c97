"""One stream on onnxruntime: chunks are checked, states carried by name, refused chunks change nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Answer, Array, Chunk
from ..contract import Contract, Port, checked_state, features_of_ids
from ..errors import ChunkError, ModelError, StateError
from ..streams import FINISHED, Gap, Health, Stream, documented, in_signal, side_by_side
from . import onnxruntime_snapshot as snapshots
from .describing import describe_stream
from .gaps import skip_frames
from .health import health_of
from .onnxruntime_session import RunError, run_session
from .onnxruntime_snapshot import MOST_COUNTED, Snapshot
from .onnxruntime_stages import StagedModel, StagedRun

# The types of ids; every other input is float32.
INPUT_TYPES: dict[str, type] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


class RefusedChunkError(ChunkError):
    """A chunk has the right shape and type, but its stream refuses its values, or the stream is finished."""


@documented(Stream)
class OnnxruntimeStream:
    """One stream on onnxruntime.

    Args:
        session: The session of the model.
        contract: The contract of the model.
        initial: The state of a new stream, by the contract's input names.
        model_hash: The hash of the model, for snapshots.
        stages: The stages of a model that looks ahead; None for other models.
    """

    def __init__(
        self,
        session: Any,  # noqa: ANN401  onnxruntime has no types
        contract: Contract,
        initial: Mapping[str, Array],
        model_hash: bytes,
        stages: StagedModel | None = None,
    ) -> None:
        if len(contract.inputs) != 1:
            raise ModelError(f"{len(contract.inputs)} signal inputs; a stream takes one")
        self._session = session
        self._contract, self._initial = contract, initial
        self._hash = model_hash
        self._stages = stages
        self._port = contract.inputs[0]
        found = next(i for i in session.get_inputs() if i.name == self._port.name)
        self._frame_shape = frame_shape(found, self._port)
        self._shape, self._dtype = found.shape, INPUT_TYPES.get(found.type, np.float32)
        self._names = [p.name for p in contract.outputs] + [s.output for s in contract.states]
        self._state: dict[str, Array] = {}
        self._frames = self._refused = 0
        self._finished = False
        self.reset()

    def __repr__(self) -> str:
        return describe_stream(self, "onnxruntime")

    @property
    def frames(self) -> int:
        return self._frames

    @property
    def refused(self) -> int:
        return self._refused

    @property
    def finished(self) -> bool:
        return self._finished

    def reset(self) -> None:
        zeros = {name: np.zeros(shape, np.float32) for name, shape in self._shapes(0, finished=False).items()}
        self._put(Snapshot({**zeros, **self._initial}, 0, 0))

    def snapshot(self) -> bytes:
        return snapshots.pack(Snapshot(self._state, self._frames, self._refused, self._finished), self._hash)

    def restore(self, snapshot: bytes) -> None:
        most = MOST_COUNTED if self._limit is None else self._limit
        self._put(snapshots.unpack(snapshot, self._hash, self._shapes, most))

    def fork(self) -> "OnnxruntimeStream":
        other = OnnxruntimeStream(self._session, self._contract, self._initial, self._hash, self._stages)
        other.restore(self.snapshot())
        return other

    def state(self) -> dict[str, Array]:
        return {state.input: self._state[state.input].copy() for state in self._contract.states}

    def health(self) -> Health:
        return health_of(self._contract, self.state(), self.frames)

    def set_state(self, state: Mapping[str, Array]) -> None:
        if state and self._finished:
            raise StateError(FINISHED)
        self._state |= checked_state(self._contract, state)

    def push(self, chunk: Chunk, *, out: Array | None = None) -> Answer:
        return self.push_array(self.side_by_side(chunk, 1), out=out)

    def side_by_side(self, chunk: Chunk, lead: int) -> Array:
        """Return the signals of a chunk side by side; see `runtime.streams.side_by_side`."""
        return side_by_side(self._contract, chunk, lead)

    def push_array(self, chunk: Array, *, out: Array | None = None) -> Answer:
        """Stream a chunk whose signals are side by side."""
        self._refuse_finished()
        frames = self._checked(chunk := np.asarray(chunk))
        answer, state = self._answered(frames) if len(chunk) else (self._nothing(), self._state)
        if out is not None:
            answer = _written(out, answer)
        self._state = state
        self._frames = min(self._frames + len(chunk), MOST_COUNTED)
        return answer

    def finish(self) -> Answer | None:
        self._refuse_finished()
        answer = None
        if self._stages is not None and self._frames:
            sizes = [size if isinstance(size, int) else 1 for size in self._shape]
            sizes[self._port.time_axis or 0] = 0
            answer, _ = self._advance(np.zeros(sizes, self._dtype), closing=True)
        outputs = answer if isinstance(answer, dict) else {"": answer}
        self._finished = True
        return answer if any(values is not None and len(values) for values in outputs.values()) else None

    def skip(self, frames: int, policy: Gap) -> Answer | None:
        return skip_frames(self, self._contract, self._frame_shape, frames, policy)

    def _shapes(self, frames: int, *, finished: bool) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the state after the given number of frames."""
        waiting = {} if self._stages is None else self._stages.waiting_shapes(frames, finished=finished)
        return {name: values.shape for name, values in self._initial.items()} | waiting

    @property
    def _limit(self) -> int | None:
        """The most frames of a stream whose answers come at its end, else None."""
        return None if self._contract.blocks is None else self._contract.blocks.limit

    def _advance(self, frames: Array, *, closing: bool) -> tuple[Answer, dict[str, Array]]:
        """Return the answer to frames, which have the axes of the graph, and the state after it."""
        if self._stages is None:
            results = run_session(self._session, self._names, {self._port.name: frames, **self._state})
            state = {s.input: results[s.output] for s in self._contract.states}
        else:
            run = StagedRun(self._stages, self._state)
            results, state = run.answers(frames, closing=closing), run.state
        answers = {p.name: one_stream(p, results[p.name]) for p in self._contract.outputs}
        return (answers if len(answers) > 1 else next(iter(answers.values()))), state

    def _answered(self, frames: Array) -> tuple[Answer, dict[str, Array]]:
        """Return what `_advance` does; where there are ids, onnxruntime fails on one that no table has."""
        try:
            return self._advance(frames, closing=False)
        except RunError as error:
            if np.dtype(self._dtype).kind == "f" and not features_of_ids(self._contract.pieces):
                raise
            self._refused = min(self._refused + frames.shape[self._port.time_axis or 0], MOST_COUNTED)
            raise RefusedChunkError(str(error)) from None

    def _nothing(self) -> Answer:
        """Return the answer to a chunk without frames, in the shapes that one frame has."""
        sizes = [size if isinstance(size, int) else 1 for size in self._shape]
        sizes[self._port.time_axis or 0] = 1
        answer, _ = self._advance(np.zeros(sizes, self._dtype), closing=False)
        answers = answer if isinstance(answer, dict) else {self._contract.outputs[0].name: answer}
        empty = {name: values[:0] for name, values in answers.items()}
        return empty if isinstance(answer, dict) else next(iter(empty.values()))

    def _refuse_finished(self) -> None:
        if self._finished:
            raise RefusedChunkError(FINISHED)

    def _refuse_length(self, count: int) -> None:
        limit = self._limit
        if limit is not None and self._frames + count > limit:
            raise ChunkError(
                f"chunk of {count} frames after {self._frames}: the stream is one block, of at most {limit} frames; "
                "finish() it first, or export with limit= or block=; chunk refused, state unchanged"
            )

    def _put(self, snapshot: Snapshot) -> None:
        self._state = dict(snapshot.state)
        self._frames, self._refused, self._finished = snapshot.frames, snapshot.refused, snapshot.finished

    def _checked(self, chunk: Array) -> Array:
        """Return a chunk in the axes of the graph, or refuse it before any state changes."""
        features = [s for a, s in enumerate(self._shape) if a not in (self._port.time_axis, self._port.batch_axis)]
        fits = chunk.ndim == 1 + len(features)
        if not fits or any(size not in (None, seen) for seen, size in zip(chunk.shape[1:], features, strict=True)):
            raise ChunkError(f"chunk has shape {chunk.shape}, wanted ({', '.join(map(str, ['frames', *features]))})")
        ids = np.dtype(self._dtype).kind != "f"
        if not np.can_cast(chunk.dtype, self._dtype, "same_kind") or (ids and chunk.dtype.kind == "b"):
            raise ChunkError(f"chunk has dtype {chunk.dtype}, wanted {np.dtype(self._dtype)}")
        self._refuse_length(len(chunk))
        frames: Array = np.array(chunk, self._dtype, order="C")  # a copy: frames may wait here after the call
        try:
            _refuse_negative(frames) if ids else refuse_unfinite(frames)
            _refuse_no_ids(frames, features_of_ids(self._contract.pieces))
        except ChunkError as error:
            self._refused = min(self._refused + len(frames), MOST_COUNTED)
            raise in_signal(self._contract.pieces, frames, error) from None
        time, batch = self._port.time_axis or 0, self._port.batch_axis
        frames = np.moveaxis(frames, 0, time - (batch is not None and batch < time))
        return frames if batch is None else np.expand_dims(frames, batch)


def frame_shape(found: Any, port: Port) -> tuple[int, ...]:  # noqa: ANN401  onnxruntime has no types
    """Return the sizes of one frame of an input, 0 where the file does not fix one; empty for ids."""
    if found.type in INPUT_TYPES:
        return ()
    sizes = [size for axis, size in enumerate(found.shape) if axis not in (port.time_axis, port.batch_axis)]
    return tuple(size if isinstance(size, int) else 0 for size in sizes)


def refuse_unfinite(frames: Array) -> None:
    """Refuse a chunk that holds NaN, infinity or a magnitude above 2^64.

    Raises:
        ChunkError: The chunk holds such a value; the message names the first one.
    """
    bad = np.argwhere(~(np.abs(frames) <= 2.0**64))
    if len(bad):
        at = tuple(bad[0])
        raise RefusedChunkError(
            f"chunk holds {frames[at]} at frame {at[0]}, feature {at[1] if len(at) > 1 else 0}; "
            "wanted finite values up to 2^64; chunk refused, state unchanged"
        )


def _refuse_no_ids(frames: Array, features: Sequence[int]) -> None:
    """Refuse frames with an id below 0, next to other features."""
    for feature in features:
        bad = np.flatnonzero(frames[:, feature] < 0)
        if len(bad):
            raise RefusedChunkError(
                f"chunk holds id {frames[bad[0], feature]:.0f} at frame {bad[0]}, feature {feature}; wanted 0 or more; "
                "chunk refused, state unchanged"
            )


def _refuse_negative(ids: Array) -> None:
    """Refuse ids below 0: onnxruntime counts those from the end of the table."""
    bad = np.flatnonzero(ids < 0)
    if len(bad):
        raise RefusedChunkError(
            f"chunk holds id {ids.flat[bad[0]]} at frame {bad[0]}; wanted 0 or more; chunk refused, state unchanged"
        )


def _written(out: Array, answer: Answer) -> Array:
    if isinstance(answer, dict):
        raise ChunkError("out is for models with one output; this one has several")
    if out.shape != answer.shape or out.dtype != np.float32:
        raise ChunkError(f"out is {out.dtype} {out.shape}, wanted float32 {answer.shape}")
    out[...] = answer
    return out


def one_stream(port: Port, values: Array) -> Array:
    """Return an output of one stream: without its batch axis, time first. A single number has the shape [1].

    Raises:
        ModelError: It has fewer axes than the contract says.
    """
    if port.time_axis is None and values.shape == (0,):
        return values  # no answer of one number
    last = max((axis for axis in (port.time_axis, port.batch_axis) if axis is not None), default=-1)
    if values.ndim <= last:
        raise ModelError(
            f"output {port.name!r} has shape {values.shape}, but the contract names its axis {last}; export the model "
            "again"
        )
    if port.batch_axis is not None:
        values = np.take(values, 0, port.batch_axis)
    if port.time_axis is None:
        return np.atleast_1d(values)
    return np.moveaxis(values, port.time_axis - (port.batch_axis is not None and port.batch_axis < port.time_axis), 0)
