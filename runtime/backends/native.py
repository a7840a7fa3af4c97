"""The `native` backend: tidegate's own engine."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from .. import _kernels
from ..arrays import Answer, Array
from ..plan.magic import text_of
from ..streams import Group, Model, Stream, documented
from .group_rows import Rows

if TYPE_CHECKING:  # half of what a start takes, and a device's program may never ask
    from ..contract import Contract
    from ..plan.text import Text

ISA_VARIABLE = "TIDEGATE_ISA"


@documented(Model)
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
        self._model = _kernels.Model(plan, chosen)  # checks every field, its hash first
        self._text = text_of(plan)
        if self._model.outputs > 1:  # answers go by their names
            self._model.name_outputs(list(self.text.outputs))

    @cached_property
    def text(self) -> "Text":
        """What the plan says beside what the engine needs, read when first asked for.

        Raises:
            PlanError: It is not readable, or does not name the engine's states.
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
        """Name of the instruction-set variant in use."""
        return self._model.variant

    @property
    def backend(self) -> str:
        return f"native ({self.isa})"

    def stream(self) -> "NativeStream":
        return NativeStream(self)

    def streams(self, rows: int) -> "NativeGroup":
        return NativeGroup(self, rows)

    def kernel_model(self) -> _kernels.Model:
        """Return the engine's own object."""
        return self._model


@documented(Stream)
class NativeStream(_kernels.Stream):
    """One sequence in progress on the engine; most methods are those of the C++ class.

    A stream belongs to one caller at a time: a second one at the same time gets a BackendError. The child of an
    `os.fork()` may go on with its streams, which are then its own.
    """

    def __init__(self, model: NativeModel) -> None:
        super().__init__(model.kernel_model())
        self._model = model

    def fork(self) -> "NativeStream":
        other = self._model.stream()
        other.restore(self.snapshot())
        return other

    def state(self) -> dict[str, Array]:
        return self._model.text.state_of(self.states())


@documented(Group)
class NativeGroup(Rows):
    """Streams in rows on the engine; see `runtime.streams.Group`."""

    def __init__(self, model: NativeModel, rows: int) -> None:
        super().__init__(rows)
        self._model = model
        self._group = _kernels.Group(model.kernel_model(), self.rows)

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

    def _push(self, chunks: Array, rows: Sequence[int], out: Array | None) -> Answer:
        return self._group.push(chunks, rows, out)

    def _open(self, row: int) -> None:
        self._group.join(row)

    def _close(self, row: int) -> None:
        self._group.leave(row)
