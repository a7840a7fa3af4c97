"""The `native` backend: tidegate's own engine."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .. import _kernels
from ..arrays import Answer, Array, Chunk
from ..errors import ChunkError, RefusedRowsError
from ..plan.magic import has_shapes, text_of
from ..streams import (
    Gap,
    Group,
    Health,
    Model,
    Stream,
    documented,
    in_signal,
    side_by_side,
    the_signal,
)
from .adoption import adopted, layout_text
from .describing import describe_group, describe_model, describe_stream
from .gaps import skip_frames
from .group_rows import Rows
from .health import health_of

if TYPE_CHECKING:  # these imports take half of the start time, and a program on a device may not need them
    from ..contract import Contract, Piece
    from ..plan.text import Text

PLAN_HASH = slice(16, 48)  # where the header of a plan has its hash
ISA_VARIABLE = "TIDEGATE_ISA"


def default_isa() -> str:
    """Return the engine's default variant: TIDEGATE_ISA, or else the best one."""
    return os.environ.get(ISA_VARIABLE) or _kernels.variants()[0]


@documented(Model)
class NativeModel:
    """A plan, checked and packed for this processor.

    Args:
        plan: A compiled plan.
        isa: The variant of the engine to use; None: that of TIDEGATE_ISA, else the best one.

    Raises:
        PlanError: The plan is truncated, altered or of another version.
        BackendError: This build or this processor does not have the instruction set.
    """

    def __init__(self, plan: bytes, isa: str | None = None) -> None:
        chosen = os.environ.get(ISA_VARIABLE, "") if isa is None else isa
        self._model = _kernels.Model(plan, chosen)  # checks the hash, then every field
        self._text = text_of(plan)
        self._hash = plan[PLAN_HASH]
        if self._model.outputs > 1 or has_shapes(plan):  # then answers are dicts by name, or have several axes
            self._model.describe_outputs(self.text.outputs, self.text.shapes)

    @cached_property
    def text(self) -> "Text":
        """The text of the plan (contract, names of outputs and states), read at the first use.

        Raises:
            PlanError: The text is not readable, or does not name the engine's states.
        """
        from ..plan.text import read_text

        text = read_text(self._text)
        text.check(self._model.state_widths)
        return text

    @property
    def contract(self) -> "Contract":
        return self.text.contract

    @property
    def isa(self) -> str:
        """The name of the variant in use."""
        return self._model.variant

    @property
    def quantized(self) -> bool:
        """Whether a weight is stored in integer codes. The engine then rounds the activations that meet it too."""
        return self._model.quantized

    @property
    def backend(self) -> str:
        return f"native ({self.isa})"

    @cached_property
    def pieces(self) -> "tuple[Piece, ...]":
        """The signals, if there are several; the text of a plan with one is not read for it."""
        return self.contract.pieces if b"pieces" in self._text else ()

    @property
    def samples(self) -> bool:
        """Whether a frame is the samples of a hop; the text of a plan without front end is not read for it."""
        return b"samples" in self._text and self.contract.samples

    @cached_property
    def frame(self) -> tuple[int, ...]:
        """The shape of a frame if it has several axes; the text of a plan with one is not read for it."""
        return self.text.frame if b'"frame":' in self._text else ()

    @property
    def frame_shape(self) -> tuple[int, ...]:
        return self.frame or ((self._model.features,) if self._model.features else ())

    def __repr__(self) -> str:
        return describe_model(self)

    def stream(self, state: Mapping[str, Array] | None = None) -> "NativeStream":
        kind = SignalsStream if self.pieces or self.samples else FramesStream if self.frame else NativeStream
        stream = kind(self)
        stream.set_state(state or {})
        return stream

    def streams(self, rows: int) -> "NativeGroup":
        return NativeGroup(self, rows)

    @property
    def hash(self) -> bytes:
        return self._hash

    @property
    def layout(self) -> str:
        slots = (f"{slot.name}[{slot.index}]" for slot in self.text.slots)
        sizes = zip(slots, self._model.state_widths, strict=True)
        return layout_text(sizes, looks_ahead=self.contract.looks_ahead)

    def adopt(self, snapshot: bytes, layout: str) -> bytes:
        return adopted(self, snapshot, layout)

    def vectors_of(self, state: Mapping[str, Array]) -> list[Array | None]:
        """Return the engine's state vectors of states given by name; the text of the plan is not read for none."""
        return self.text.vectors_of(state) if state else []

    def kernel_model(self) -> _kernels.Model:
        """Return the engine's own object."""
        return self._model


# Its methods are called by this name, not by super(), which makes a bound method: nanobind does not look whether there
# was memory for one, and the process would end.
_ENGINES = _kernels.Stream


@documented(Stream)
class NativeStream(_kernels.Stream):
    """One stream on the engine; most of its methods are those of the C++ class.

    One caller may use a stream at a time: a second caller at the same time gets a BackendError. After `os.fork()` the
    child has its own copies of the streams and may use them.
    """

    def __init__(self, model: NativeModel) -> None:
        _ENGINES.__init__(self, model.kernel_model())
        self._model = model

    def __repr__(self) -> str:
        return describe_stream(self, self._model.backend)

    def fork(self) -> "NativeStream":
        other = self._model.stream()
        other.restore(self.snapshot())
        return other

    def state(self) -> dict[str, Array]:
        return self._model.text.state_of(self.states())

    def health(self) -> Health:
        return health_of(self._model.contract, self.state(), self.frames)

    def set_state(self, state: Mapping[str, Array]) -> None:
        self.write_states(self._model.vectors_of(state))

    def skip(self, frames: int, policy: Gap) -> Answer | None:
        return skip_frames(self, self._model.contract, self._model.frame_shape, frames, policy)

    def push_named(self, chunk: Mapping[str, Array], out: Array | None) -> Answer:
        """Push the only signal, given by name: the C++ class calls this for a dict."""
        return self.push(the_signal(self._model.contract, chunk), out=out)


@documented(Stream)
class SignalsStream(NativeStream):
    """A stream of a model with several signals, or of samples: they go to the engine side by side, or hop by hop."""

    def push(self, chunk: Chunk, *, out: Array | None = None) -> Answer:
        frames = side_by_side(self._model.contract, chunk)
        try:
            return _ENGINES.push(self, frames, out=out)
        except ChunkError as error:
            raise in_signal(self._model.pieces, frames, error) from None


@documented(Stream)
class FramesStream(NativeStream):
    """A stream of a model whose frames have several axes: they go to the engine as one row of features each."""

    def push(self, chunk: Chunk, *, out: Array | None = None) -> Answer:
        return _ENGINES.push(self, _flat(self._model.frame, the_signal(self._model.contract, chunk), 1), out=out)


def _flat(frame: tuple[int, ...], chunk: Array, lead: int) -> Array:
    """Return frames of several axes as `[..., features]`; other frames as they are.

    Raises:
        ChunkError: The chunk has another shape.
    """
    if not frame:
        return chunk
    shape = np.shape(chunk)
    if shape[lead:] != frame or len(shape) != lead + len(frame):
        wanted = ", ".join(["rows"] * (lead - 1) + ["frames", *map(str, frame)])
        raise ChunkError(f"chunk has shape {shape}, wanted ({wanted})")
    return np.reshape(chunk, (*shape[:lead], -1))


@documented(Group)
class NativeGroup(Rows):
    """A group of streams on the engine; see `runtime.streams.Group`."""

    def __init__(self, model: NativeModel, rows: int) -> None:
        super().__init__(rows)
        self._model = model
        self._group = _kernels.Group(model.kernel_model(), self.rows)
        self._pieces, self._frame = model.pieces, model.frame

    def __repr__(self) -> str:
        return describe_group(self, self._model.backend)

    def reset(self, row: int) -> None:
        self._group.reset(self._taken(row))

    def snapshot(self, row: int) -> bytes:
        return self._group.snapshot(self._taken(row))

    def restore(self, row: int, snapshot: bytes) -> None:
        self._group.restore(self._taken(row), snapshot)

    def frames(self, row: int) -> int:
        return self._group.frames(self._taken(row))

    def refused(self, row: int) -> int:
        return self._group.refused(self._taken(row))

    def state(self, row: int) -> dict[str, Array]:
        return self._model.text.state_of(self._group.states(self._taken(row)))

    def set_state(self, row: int, state: Mapping[str, Array]) -> None:
        self._group.write_states(self._taken(row), self._model.vectors_of(state))

    def _push(self, chunks: Chunk, rows: Sequence[int], out: Array | None) -> Answer:
        if self._pieces:
            return self._push_named(chunks, rows, out)
        frames = the_signal(self._model.contract, chunks) if isinstance(chunks, Mapping) else chunks
        return self._group.push(_flat(self._frame, frames, 2), rows, out)

    def _push_named(self, chunks: Chunk, rows: Sequence[int], out: Array | None) -> Answer:
        """Push several signals, which go to the engine side by side."""
        frames = side_by_side(self._model.contract, chunks, 2)
        try:
            return self._group.push(frames, rows, out)
        except RefusedRowsError as error:
            whys = {row: (frames[rows.index(row)], ChunkError(why)) for row, why in error.refused.items()}
            named = {row: str(in_signal(self._pieces, *why)) for row, why in whys.items()}
            raise RefusedRowsError(error.answers, named, len(rows)) from None

    def _open(self, row: int, state: Mapping[str, Array]) -> None:
        vectors = self._model.vectors_of(state)  # refused before the row joins
        self._group.join(row)
        self._group.write_states(row, vectors)

    def _close(self, row: int) -> None:
        self._group.leave(row)
