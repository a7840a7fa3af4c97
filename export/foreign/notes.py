"""Sentences on what a lift changed."""

from collections.abc import Sequence

from ...runtime.contract import ZEROS, State
from ..states.recurrent_states import ForeignState


def state_notes(
    foreign: Sequence[ForeignState], states: Sequence[State], one_frame: bool, context: int
) -> tuple[str, ...]:
    """Return sentences on the changes to states."""
    own = [known.state.input for known in foreign if not known.packed]
    packed = [known.state.input for known in foreign if known.packed]
    new = [state.input for state in states if state.input not in own and not state.input.endswith(".context_in")]
    notes = [f"States of the file: {', '.join(own)}."] if own else []
    notes += [f"States that were packed in {', '.join(packed)} or hidden: {', '.join(new)}."] if packed else []
    notes += [f"States that were hidden: {', '.join(new)}."] if new and not packed else []
    started = [state.input for state in states if state.initial != ZEROS]
    notes += [f"States that start from constants of the file: {', '.join(started)}."] if started else []
    one = "It takes one frame per run; now its batch holds the frames of a push, so a push may have many."
    notes += [one] if one_frame else []
    notes += [f"The last {context} values of each frame are kept for the next."] if context else []
    return tuple(notes)
