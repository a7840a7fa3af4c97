"""The `native` backend: tidegate's own engine."""

import os
from collections.abc import Sequence

from . import _kernels
from .arrays import Array
from .contract import HIDDEN
from .errors import PlanError
from .model import Answer, state_arrays
from .planfile import Text, read_text
from .rows import Rows

ISA_VARIABLE = "TIDEGATE_ISA"


class NativeModel:
    """A plan, checked and packed for this processor.

    Args:
        plan: A compiled plan.
        isa: Instruction-set variant to force; None: TIDEGATE_ISA, else the best.

    Raises:
        PlanError: The plan is truncated, altered or of another version.
        BackendError: The instruction set is not in this build or not on this processor.
    """

    def __init__(self, plan: bytes, isa: str | None = None) -> None:
        chosen = os.environ.get(ISA_VARIABLE, "") if isa is None else isa
        self._model = _kernels.Model(plan, chosen)  # checks every field, by its hash first
        text = read_text(plan)
        self.contract = text.contract
        self.slots = text.slots
        self._model.name_outputs(list(text.outputs))
        self._check_slots(text)

    @property
    def isa(self) -> str:
        """Name of the instruction-set variant in use."""
        return self._model.variant

    @property
    def backend(self) -> str:
        """What executes the model."""
        return f"native ({self.isa})"

    def stream(self) -> "NativeStream":
        """Start a stream from the initial state."""
        return NativeStream(self)

    def streams(self, rows: int) -> "NativeGroup":
        """Start streams in a group of so many rows, all joined; see `runtime.model.Model.streams`."""
        return NativeGroup(self, rows)

    def state_of(self, vectors: Sequence[Array]) -> dict[str, Array]:
        """Return the engine's state vectors by the contract's input names."""
        state = state_arrays(self.contract)
        for slot, values in zip(self.slots, vectors, strict=True):
            if slot == HIDDEN:
                continue
            state[slot.name][slot.row] = values.reshape(state[slot.name][slot.row].shape)
        return state

    def kernel_model(self) -> _kernels.Model:
        """Return the engine's own object."""
        return self._model

    def _check_slots(self, text: Text) -> None:
        """A plan's text must speak of the states that the engine has, no more and no fewer."""
        initial = state_arrays(text.contract)
        widths = self._model.state_widths
        known = [
            slot == HIDDEN or (slot.name in initial and 0 <= slot.row < len(initial[slot.name])) for slot in self.slots
        ]
        pairs = zip(self.slots, widths, strict=False)
        if (
            len(known) != len(widths)
            or not all(known)
            or any(slot != HIDDEN and initial[slot.name][slot.row].size != width for slot, width in pairs)
        ):
            raise PlanError("plan: its text does not name the engine's states; the file is damaged, compile it again")


class NativeStream(_kernels.Stream):
    """One sequence in progress on the engine, whose own most methods are.

    A stream belongs to one caller at a time: a second one at the same time gets a BackendError. The child of an
    `os.fork()` may go on with its streams, which are then its own.
    """

    def __init__(self, model: NativeModel) -> None:
        super().__init__(model.kernel_model())
        self._model = model

    def fork(self) -> "NativeStream":
        """Return another stream of the model, which goes on from the same state."""
        other = self._model.stream()
        other.restore(self.snapshot())
        return other

    def state(self) -> dict[str, Array]:
        """Return a copy of the state by the contract's input names, e.g. `lstm.h_in` `[layers, 1, hidden]`."""
        return self._model.state_of(self.states())


class NativeGroup(Rows):
    """Streams in rows on the engine; see `runtime.model.Group`."""

    def __init__(self, model: NativeModel, rows: int) -> None:
        super().__init__(rows)
        self._model = model
        self._group = _kernels.Group(model.kernel_model(), self.rows)

    def reset(self, row: int) -> None:
        """Make the stream in a row as new."""
        self._group.reset(self._taken(row))

    def snapshot(self, row: int) -> bytes:
        """Return the stream in a row as bytes."""
        return self._group.snapshot(self._taken(row))

    def restore(self, row: int, snapshot: bytes) -> None:
        """Go on in a row from where a snapshot was taken."""
        self._group.restore(self._taken(row), snapshot)

    def frames(self, row: int) -> int:
        """Frames that a row consumed since its stream was new."""
        return self._group.frames(self._taken(row))

    def refused(self, row: int) -> int:
        """Frames of a row's chunks that were refused."""
        return self._group.refused(self._taken(row))

    def state(self, row: int) -> dict[str, Array]:
        """Return a copy of a row's state by the contract's input names."""
        return self._model.state_of(self._group.states(self._taken(row)))

    def _push(self, chunks: Array, rows: Sequence[int], out: Array | None) -> Answer:
        return self._group.push(chunks, rows, out)

    def _open(self, row: int) -> None:
        self._group.join(row)

    def _close(self, row: int) -> None:
        self._group.leave(row)
