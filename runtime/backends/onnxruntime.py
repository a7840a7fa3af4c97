"""The `onnxruntime` backend: it runs any streaming ONNX file on one thread and carries states by name."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..arrays import Answer, Array
from ..contract import Contract, Port, checked_state
from ..errors import BackendError, ChunkError, ContractError, ModelError, RefusedRowsError, StateError
from ..graph.graph import Graph
from ..graph.initial_states import initial_states
from ..streams import FINISHED, Group, Model, Stream, describe_group, describe_model, describe_stream, documented
from . import onnxruntime_snapshot as snapshots
from .folded_weights import fold_weights
from .group_rows import Rows
from .onnxruntime_session import open_session, run_session
from .onnxruntime_snapshot import MOST_COUNTED, Snapshot
from .onnxruntime_stages import StagedModel, StagedRun

# The types of ids; every other input is float32.
INPUT_TYPES: dict[str, type] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


@documented(Model)
class OnnxruntimeModel:
    """A streaming graph in an onnxruntime session.

    Quantized weights become float32 when the model is loaded: onnxruntime would convert them again at every call
    (measured on an LSTM 100 -> 256: 123 us against 47).

    Raises:
        BackendError: onnxruntime is not installed.
        ModelError: onnxruntime refuses the graph, or its contract is not valid.
    """

    def __init__(self, graph: Graph) -> None:
        self._contract = graph.contract
        self._initial = initial_states(graph, self._contract)
        folded = fold_weights(graph).model.SerializeToString(deterministic=True)
        self.hash = snapshots.hash_of(folded)
        self.session = open_session(folded)
        _check_names(self._contract, self.session)
        self._stages = StagedModel(fold_weights(graph)) if self._contract.looks_ahead else None

    @property
    def contract(self) -> Contract:
        return self._contract

    @property
    def backend(self) -> str:
        return "onnxruntime"

    def __repr__(self) -> str:
        return describe_model(self)

    def stream(self, state: Mapping[str, Array] | None = None) -> "OnnxruntimeStream":
        stream = OnnxruntimeStream(self.session, self._contract, self._initial, self.hash, self._stages)
        stream.set_state(state or {})
        return stream

    def streams(self, rows: int) -> "OnnxruntimeGroup":
        return OnnxruntimeGroup(self, rows)


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

    def set_state(self, state: Mapping[str, Array]) -> None:
        if state and self._finished:
            raise StateError(FINISHED)
        self._state |= checked_state(self._contract, state)

    def push(self, chunk: Array, *, out: Array | None = None) -> Answer:
        self._refuse_finished()
        frames = self._checked(chunk := np.asarray(chunk))
        answer, state = self._advance(frames, closing=False) if len(chunk) else (self._nothing(), self._state)
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

    def _nothing(self) -> Answer:
        """Return the answer to a chunk without frames, in the shapes that one frame has."""
        sizes = [size if isinstance(size, int) else 1 for size in self._shape]
        sizes[self._port.time_axis or 0] = 1
        answer, _ = self._advance(np.zeros(sizes, self._dtype), closing=False)
        answers = answer if isinstance(answer, dict) else {self._contract.outputs[0].name: answer}
        timed = {port.name: port.time_axis is not None for port in self._contract.outputs}
        empty = {name: values[:0] if timed[name] else np.zeros(0, np.float32) for name, values in answers.items()}
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
        if not np.can_cast(chunk.dtype, self._dtype, "same_kind"):
            raise ChunkError(f"chunk has dtype {chunk.dtype}, wanted {np.dtype(self._dtype)}")
        self._refuse_length(len(chunk))
        frames: Array = np.array(chunk, self._dtype, order="C")  # a copy: frames may wait here after the call
        try:
            refuse_unfinite(frames)
        except ChunkError:
            self._refused = min(self._refused + len(frames), MOST_COUNTED)
            raise
        time, batch = self._port.time_axis or 0, self._port.batch_axis
        frames = np.moveaxis(frames, 0, time - (batch is not None and batch < time))
        return frames if batch is None else np.expand_dims(frames, batch)


@documented(Group)
class OnnxruntimeGroup(Rows):
    """A group of streams that onnxruntime runs one after the other; see `runtime.streams.Group`.

    There is no common batch: in a batch the bits of a row would depend on the other rows. So a group is not faster than
    its streams here.
    """

    def __init__(self, model: OnnxruntimeModel, rows: int) -> None:
        super().__init__(rows)
        self._new = model.stream
        self._streams = [model.stream() for _ in range(self.rows)]
        self._busy = threading.Lock()

    def __repr__(self) -> str:
        return describe_group(self, "onnxruntime")

    def reset(self, row: int) -> None:
        with self._turn():
            self._streams[self._taken(row)].reset()

    def snapshot(self, row: int) -> bytes:
        with self._turn():
            return self._streams[self._taken(row)].snapshot()

    def restore(self, row: int, snapshot: bytes) -> None:
        with self._turn():
            self._streams[self._taken(row)].restore(snapshot)

    def frames(self, row: int) -> int:
        with self._turn():
            return self._streams[self._taken(row)].frames

    def refused(self, row: int) -> int:
        with self._turn():
            return self._streams[self._taken(row)].refused

    def state(self, row: int) -> dict[str, Array]:
        with self._turn():
            return self._streams[self._taken(row)].state()

    def set_state(self, row: int, state: Mapping[str, Array]) -> None:
        with self._turn():
            self._streams[self._taken(row)].set_state(state)

    def _push(self, chunks: Array, rows: Sequence[int], out: Array | None) -> Answer:
        chunks = np.asarray(chunks)
        if out is not None and np.may_share_memory(chunks, out):
            chunks = chunks.copy()  # the answer of a row would overwrite the chunk of a later row
        if chunks.ndim == 0 or len(chunks) != len(rows):
            raise ChunkError(f"chunks has shape {chunks.shape}, wanted a chunk for each of {len(rows)} rows")
        if out is not None and (out.ndim == 0 or len(out) != len(rows)):
            raise ChunkError(f"out has shape {out.shape}, wanted an answer for each of {len(rows)} rows")
        with self._turn():
            answers, refused = self._push_each(chunks, rows, out)
        joined = self._joined_answers(answers, chunks, out)
        if refused:
            raise RefusedRowsError(joined, refused, len(rows))
        return joined

    def _push_each(
        self, chunks: Array, rows: Sequence[int], out: Array | None
    ) -> tuple[list[Answer | None], dict[int, str]]:
        """Push row after row. All chunks have one shape and type, so a wrong one is found before any state changes."""
        answers: list[Answer | None] = []
        refused: dict[int, str] = {}
        for place, row in enumerate(rows):
            try:
                into = None if out is None else out[place]
                answers.append(self._streams[row].push(chunks[place], out=into))
            except RefusedChunkError as error:
                refused[row] = str(error)
                answers.append(None)
        return answers, refused

    def _joined_answers(self, answers: Sequence[Answer | None], chunks: Array, out: Array | None) -> Answer:
        """Return the answers of all rows; rows without an answer get NaN."""
        like = next((answer for answer in answers if answer is not None), None)
        if like is None:
            like = self._new().push(np.zeros_like(chunks, shape=chunks.shape[1:]))
        if isinstance(like, dict):
            rows = [answer for answer in answers if answer is None or isinstance(answer, dict)]
            return {n: _stacked([a[n] if a else None for a in rows], values) for n, values in like.items()}
        stacked = _stacked([a if isinstance(a, np.ndarray) else None for a in answers], like)
        if out is None:
            return stacked
        out[...] = stacked
        return out

    def _open(self, row: int, state: Mapping[str, Array]) -> None:
        with self._turn():
            self._streams[row].reset()
            self._streams[row].set_state(state)

    def _close(self, row: int) -> None:
        self._open(row, {})

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Reserve the group for one caller; a second caller gets an error, never a wrong answer."""
        if not self._busy.acquire(blocking=False):
            raise BackendError("group is in use by another thread; give each thread a group of its own")
        try:
            yield
        finally:
            self._busy.release()


def _stacked(answers: Sequence[Array | None], like: Array) -> Array:
    return np.array([np.full_like(like, np.nan) if answer is None else answer for answer in answers], like.dtype)


def _check_names(contract: Contract, session: Any) -> None:  # noqa: ANN401  onnxruntime has no types
    """Check that every name in the contract is an input or output of the graph."""
    inputs, outputs = ({value.name for value in values} for values in (session.get_inputs(), session.get_outputs()))
    named = [(p.name, inputs, "an input") for p in contract.inputs]
    named += [(p.name, outputs, "an output") for p in contract.outputs]
    for state in contract.states:
        named += [(state.input, inputs, "an input"), (state.output, outputs, "an output")]
    for name, there, what in named:
        if name not in there:
            raise ContractError(f"contract: {name!r} is not {what} of the graph; export the model again")


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
    if port.time_axis is None and values.shape[:1] == (0,):
        return values  # no answer
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
