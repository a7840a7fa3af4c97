"""Sentences on what a lift changed."""

from tidegate.export.foreign.notes import state_notes
from tidegate.runtime.contract import State


def _state(name: str, initial: str = "zeros") -> State:
    return State(f"{name}.h_in", f"{name}.h_out", "h", (1, "batch", 4), initial)


def test_hidden_states_and_their_starts_are_named() -> None:
    assert state_notes((), (_state("gru"), _state("top", "constant")), one_frame=False, context=0) == (
        "States that were hidden: gru.h_in, top.h_in.",
        "States that start from constants of the file: top.h_in.",
    )


def test_one_frame_and_its_context_are_told() -> None:
    assert state_notes((), (), one_frame=True, context=64) == (
        "It takes one frame per run; now its batch holds the frames of a push, so a push may have many.",
        "The last 64 values of each frame are kept for the next.",
    )
