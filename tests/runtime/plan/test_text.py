"""The text of a plan: it is read whole or refused, and it places the engine's states in the contract."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from tidegate.runtime.contract import HIDDEN, Contract, Port, Slot, State
from tidegate.runtime.errors import PlanError
from tidegate.runtime.plan.text import Text, read_text

STATE = State("l.h_in", "l.h_out", "h", (2, "batch", 3))
CONTRACT = Contract((Port("x", 0, None),), (Port("y", 0, None),), (STATE,))
SLOTS = Slot("l.h_in", 0), Slot("l.h_in", 1)
FIELDS = {"contract": CONTRACT.to_json(), "outputs": ["y"], "slots": [["l.h_in", 0], ["l.h_in", 1]]}


def test_fields_are_read() -> None:
    assert read_text(json.dumps(FIELDS).encode()) == Text(CONTRACT, ("y",), SLOTS)


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_refused(field: str) -> None:
    rest = {key: value for key, value in FIELDS.items() if key != field}
    with pytest.raises(PlanError, match=r"plan: text is not readable .*; the file is damaged, compile it again"):
        read_text(json.dumps(rest).encode())


def test_shapes_of_answers_are_read() -> None:
    assert read_text(json.dumps(FIELDS | {"shapes": [[2, 3]]}).encode()).shapes == ((2, 3),)


@pytest.mark.parametrize("shapes", [[[0]], [[-1]], [[2.0]], [["2"]], [[2**31]], [3], 3, [[[2]]]])
def test_row_13_shape_that_cannot_be_is_refused(shapes: object) -> None:
    with pytest.raises(PlanError, match="text is not readable"):
        read_text(json.dumps(FIELDS | {"shapes": shapes}).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"7", b"\xff", b"[" * 100_000])
def test_a_text_that_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(PlanError, match="text is not readable"):
        read_text(text)


@pytest.mark.parametrize("row", [float("inf"), float("-inf"), float("nan"), 0.5, "0", None, [0]])
def test_row_13_slot_whose_row_is_no_integer_is_refused(row: object) -> None:
    with pytest.raises(PlanError, match="text is not readable"):
        read_text(json.dumps(FIELDS | {"slots": [["l.h_in", row]]}).encode())


def test_slots_must_fit_the_engines_states() -> None:
    text = Text(CONTRACT, ("y",), SLOTS)
    text.check([3, 3])
    for widths in ([3], [3, 4], [3, 3, 3]):
        with pytest.raises(PlanError, match="does not name the engine's states"):
            text.check(widths)


@pytest.mark.parametrize("slot", [Slot("l.c_in", 0), Slot("l.h_in", 2), Slot("l.h_in", -1), Slot("l.h_in", 10**400)])
def test_a_place_outside_the_contract_is_refused(slot: Slot) -> None:
    with pytest.raises(PlanError, match="does not name the engine's states"):
        Text(CONTRACT, ("y",), (slot,)).check([3])


def test_state_vectors_go_to_their_places_and_hidden_ones_nowhere() -> None:
    text = Text(CONTRACT, ("y",), (SLOTS[1], HIDDEN, SLOTS[0]))
    found = text.state_of([np.full(3, value, np.float32) for value in (1, 2, 3)])
    np.testing.assert_array_equal(found["l.h_in"], [[[3, 3, 3]], [[1, 1, 1]]])


def test_given_states_go_to_the_engines_vectors_and_the_rest_is_left_out() -> None:
    text = Text(CONTRACT, ("y",), (SLOTS[1], HIDDEN, SLOTS[0]))
    first, hidden, second = text.vectors_of({"l.h_in": np.arange(6.0).reshape(2, 1, 3)})
    assert hidden is None
    np.testing.assert_array_equal(np.array([first, second], np.float32), [[3, 4, 5], [0, 1, 2]])
    assert text.vectors_of({}) == [None, None, None]


def test_the_reason_is_said() -> None:
    for fields, reason in (
        (FIELDS | {"shapes": [[0]]}, "a shape has the size 0"),
        (FIELDS | {"frame": [2**31]}, "a shape has the size 2147483648"),
        ({}, "'slots'"),
    ):
        with pytest.raises(PlanError) as caught:
            read_text(json.dumps(fields).encode())
        assert str(caught.value) == f"plan: text is not readable ({reason}); the file is damaged, compile it again"
    with pytest.raises(PlanError) as caught:
        Text(CONTRACT, ("y",), SLOTS).check([3])
    assert (
        str(caught.value) == "plan: its text does not name the engine's states; the file is damaged, compile it again"
    )


def test_sizes_of_shapes_have_limits() -> None:
    read = read_text(json.dumps(FIELDS | {"shapes": [[1, 2**31 - 1], [3]], "frame": [1, 2**31 - 1]}).encode())
    assert (read.shapes, read.frame) == (((1, 2**31 - 1), (3,)), (1, 2**31 - 1))
    plain = read_text(json.dumps(FIELDS).encode())
    assert (plain.shapes, plain.frame, plain.outputs) == ((), (), ("y",))


def test_a_text_does_not_change_and_takes_a_vector_for_each_slot() -> None:
    text = Text(CONTRACT, ("y",), SLOTS)
    with pytest.raises(FrozenInstanceError):
        text.outputs = ()  # type: ignore[misc]
    for count in (1, 3):
        with pytest.raises(ValueError, match=r"zip\(\) argument"):
            text.state_of([np.zeros(3, np.float32)] * count)
    Text(CONTRACT, ("y",), (SLOTS[1], HIDDEN, SLOTS[0])).check([3, 7, 3])
    with pytest.raises(PlanError, match="does not name the engine's states"):
        Text(CONTRACT, ("y",), (HIDDEN, SLOTS[0])).check([7, 4])
