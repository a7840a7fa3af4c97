"""The text of a plan: what the caller of the engine needs to know; docs/plan.md is the specification."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index

from ..arrays import Array
from ..contract import HIDDEN, Contract, Slot, checked_state, state_arrays
from ..errors import PlanError


@dataclass(frozen=True)
class Text:
    """The text of a plan, which the engine itself does not read.

    Attributes:
        contract: The streaming contract of the model.
        outputs: Names of the outputs in the order of the plan.
        slots: The place of each state vector of the engine in the contract.
        shapes: The shape of one answer of each output; empty if the answers of all outputs have one axis, of features.
        frame: The shape of an input frame if it has several axes; else empty.
    """

    contract: Contract
    outputs: tuple[str, ...]
    slots: tuple[Slot, ...]
    shapes: tuple[tuple[int, ...], ...] = ()
    frame: tuple[int, ...] = ()

    def check(self, widths: Sequence[int]) -> None:
        """Compare the slots with the widths of the engine's state vectors.

        Raises:
            PlanError: The slots do not fit the states of the engine.
        """
        states = state_arrays(self.contract)
        known = [
            slot == HIDDEN or (slot.name in states and 0 <= slot.index < len(states[slot.name])) for slot in self.slots
        ]
        pairs = zip(self.slots, widths, strict=False)
        if (
            len(known) != len(widths)
            or not all(known)
            or any(slot != HIDDEN and states[slot.name][slot.index].size != width for slot, width in pairs)
        ):
            raise PlanError("plan: its text does not name the engine's states; the file is damaged, compile it again")

    def state_of(self, vectors: Sequence[Array]) -> dict[str, Array]:
        """Return the engine's state vectors by the contract's input names."""
        state = state_arrays(self.contract)
        for slot, values in zip(self.slots, vectors, strict=True):
            if slot == HIDDEN:
                continue
            state[slot.name][slot.index] = values.reshape(state[slot.name][slot.index].shape)
        return state

    def vectors_of(self, given: Mapping[str, Array]) -> list[Array | None]:
        """Return the engine's state vectors of states given by name; None for vectors that are not given.

        Raises:
            StateError: As `checked_state` does.
        """
        state = checked_state(self.contract, given)
        return [state[slot.name][slot.index].ravel() if slot.name in state else None for slot in self.slots]


def read_text(text: bytes) -> Text:
    """Read the text of a plan.

    Raises:
        PlanError: It is not JSON, or a field is missing or wrong.
    """
    try:
        fields = json.loads(text)
        slots = tuple(Slot(str(name), index(row)) for name, row in fields["slots"])
        shapes = tuple(tuple(map(_size, shape)) for shape in fields.get("shapes", []))
        frame = tuple(map(_size, fields.get("frame", [])))
        return Text(Contract.from_json(fields["contract"]), tuple(map(str, fields["outputs"])), slots, shapes, frame)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PlanError(f"plan: text is not readable ({error}); the file is damaged, compile it again") from None


def _size(value: object) -> int:
    """Return a size of a shape.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is below 1, or too large for the engine.
    """
    size = index(value)  # type: ignore[arg-type] # anything from a file
    if not 1 <= size < 2**31:
        raise ValueError(f"a shape has the size {size}")
    return size
