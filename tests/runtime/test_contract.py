"""A contract that was written is read again; any other text is refused by its field."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.contract import MOST_PORTS, Blocks, Contract, Piece, Port, State, checked_state, state_arrays
from tidegate.runtime.errors import ContractError, StateError

CONTRACT = Contract(
    (Port("x", 1, 0),),
    (Port("output", None, 0),),
    (State("lstm.h_in", "lstm.h_out", "h", (2, "batch", 64)), State("lstm.c_in", "lstm.c_out", "c", (2, "batch", 64))),
    sample_rate=50.0,
    hop=2,
)


def test_contract_survives_its_json() -> None:
    assert Contract.from_json(CONTRACT.to_json()) == CONTRACT


@pytest.mark.parametrize(
    ("lookahead", "blocks"), [(0, None), (7, None), (95, Blocks(64, 32)), (None, Blocks(None, 0, 4096))]
)
def test_lookahead_and_blocks_survive_their_json(lookahead: int | None, blocks: Blocks | None) -> None:
    contract = replace(CONTRACT, lookahead=lookahead, blocks=blocks)
    assert Contract.from_json(contract.to_json()) == contract


def test_version_1_is_read_and_has_no_blocks() -> None:
    fields = json.loads(CONTRACT.to_json())
    assert fields.pop("version") == 2
    del fields["blocks"], fields["ahead"]
    assert Contract.from_json(json.dumps({"version": 1, **fields})) == CONTRACT


@pytest.mark.parametrize(
    ("lookahead", "blocks", "message"),
    [
        (None, None, "lookahead is None, wanted a number with blocks of fixed frames or none"),
        (
            3,
            {"frames": None, "lookahead": 0, "limit": 9},
            "lookahead is 3, wanted null with blocks of the whole stream",
        ),
        (None, {"frames": None, "lookahead": 0, "limit": None}, "wanted frames or a limit, not both"),
        (9, {"frames": 4, "lookahead": 0, "limit": 9}, "wanted frames or a limit, not both"),
        (None, {"frames": None, "lookahead": 1, "limit": 9}, "lookahead = 1 is not allowed after the whole stream"),
        (9, {"frames": 4}, r"blocks: missing or unknown field limit, lookahead"),
        (9, {"frames": 0, "lookahead": 0, "limit": None}, "frames = 0 is not allowed"),
        (9, {"frames": 4, "lookahead": None, "limit": None}, "wanted frames or a limit"),
        (9, [1], "blocks is list, wanted an object"),
    ],
)
def test_blocks_that_cannot_be_are_refused(lookahead: int | None, blocks: object, message: str) -> None:
    fields = json.loads(CONTRACT.to_json()) | {"lookahead": lookahead, "blocks": blocks}
    with pytest.raises(ContractError, match=message):
        Contract.from_json(json.dumps(fields))


NEAR_AND_FAR = (Piece("near", (1,)), Piece("far", (2, 3)))


def test_samples_survive_their_json_and_need_a_hop() -> None:
    contract = replace(CONTRACT, samples=True, hop=160, fixed=("front.weight",))
    assert Contract.from_json(contract.to_json()) == contract
    assert json.loads(contract.to_json())["version"] == 4
    with pytest.raises(ContractError, match="samples is true with hop = None and 0 pieces; wanted the samples of a"):
        replace(contract, hop=None)


def test_several_signals_survive_their_json_and_one_signal_has_the_older_version() -> None:
    contract = replace(CONTRACT, pieces=NEAR_AND_FAR)
    assert Contract.from_json(contract.to_json()) == contract
    assert [json.loads(one.to_json())["version"] for one in (CONTRACT, contract)] == [2, 3]
    assert "pieces" not in CONTRACT.to_json()
    assert (CONTRACT.signals, contract.signals) == (("x",), ("near", "far"))
    assert [piece.features for piece in contract.pieces] == [1, 6]


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([{"name": "near", "shape": [1]}], "wanted two or more signals of fixed sizes in one input, or none"),
        ([{"name": "a", "shape": [1]}, {"name": "b", "shape": ["batch"]}], "two or more signals of fixed sizes"),
        ([{"name": "a", "shape": [1]}, {"name": "a", "shape": [1]}], "a is named more than once"),
        ([{"name": "a", "shape": [1]}, {"name": "lstm.h_in", "shape": [1]}], r"lstm\.h_in is named more than once"),
        ([{"name": "a", "shape": [0]}, {"name": "b", "shape": [1]}], r"pieces\[0\]: shape = \(0,\) is not allowed"),
        ([{"name": "a"}], r"pieces\[0\]: missing or unknown field shape"),
        ("near", "contract: pieces is str, wanted a list"),
    ],
)
def test_signals_that_cannot_be_are_refused(pieces: object, message: str) -> None:
    fields = json.loads(replace(CONTRACT, pieces=NEAR_AND_FAR).to_json()) | {"pieces": pieces}
    with pytest.raises(ContractError, match=message):
        Contract.from_json(json.dumps(fields))


def test_frame_takes_hop_over_sample_rate() -> None:
    assert CONTRACT.frame_seconds == 0.04


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 5, "contract: version 5, this tidegate reads 1 to 4"),
        (["version"], True, "contract: version True, this tidegate reads 1 to 4"),
        (["version"], 3, "missing or unknown field pieces"),
        (["pieces"], [], "unknown field pieces; it belongs to a newer version"),
        (["version"], 1, "unknown field ahead, blocks; it belongs to a newer version"),
        (["inputs"], "x", "contract: inputs is str, wanted a list"),
        (["inputs"], [], "contract: inputs = "),
        (["inputs", 0], {"name": "x"}, r"inputs\[0\]: missing or unknown field batch_axis, time_axis"),
        (["inputs", 0, "time_axis"], True, "time_axis = True is not allowed"),
        (["states", 0, "kind"], "q", "kind = 'q' is not allowed"),
        (["states", 0, "shape"], [2, "streams", 64], "shape = "),
        (["states", 0, "shape"], [2**40], "shape = "),
        (["states", 0, "shape"], [1, "batch", 2**16 + 1], "shape = "),
        (["states", 0, "__class__"], "x", "missing or unknown field __class__"),
        (["sample_rate"], -1, "sample_rate = -1 is not allowed"),
        (["sample_rate"], float("nan"), "sample_rate = nan is not allowed"),
        (["lookahead"], -3, "lookahead = -3 is not allowed"),
        (["states", 1, "input"], "lstm.h_in", "lstm.h_in is named more than once"),
    ],
)
def test_row_22_field_that_cannot_be_is_refused_by_name(path: list[Any], value: object, message: str) -> None:
    fields = json.loads(CONTRACT.to_json())
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ContractError, match=message):
        Contract.from_json(json.dumps(fields))


def test_a_state_may_have_the_largest_size() -> None:
    fields = json.loads(CONTRACT.to_json())
    fields["states"][0]["shape"] = [1, "batch", 2**16]
    assert Contract.from_json(json.dumps(fields)).states[0].shape == (1, "batch", 2**16)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "3"])
def test_text_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        Contract.from_json(text)


# ---- contracts of strangers ----


def with_entries(key: str, count: int) -> str:
    """Return a contract whose list holds so many entries, each of its own name."""
    fields = json.loads(CONTRACT.to_json())
    new = {"inputs": {"name": "", "time_axis": 1, "batch_axis": 0}, "ahead": {"node": "", "frames": 1}}
    new["outputs"], new["states"] = new["inputs"], fields["states"][0]
    named = {"ahead": ("node",), "states": ("input", "output")}.get(key, ("name",))
    fields[key] = [new[key] | {name: f"{name}{i}" for name in named} for i in range(count)]
    return json.dumps(fields)


@pytest.mark.parametrize("key", ["inputs", "outputs", "states", "ahead"])
def test_row_17_list_of_too_many_entries_is_refused(key: str) -> None:
    assert len(getattr(Contract.from_json(with_entries(key, MOST_PORTS)), key)) == MOST_PORTS
    with pytest.raises(ContractError, match=f"{key} has 1025 entries, at most 1024 are read"):
        Contract.from_json(with_entries(key, MOST_PORTS + 1))


def test_every_name_that_has_two_roles_is_named_once() -> None:
    ports = tuple(Port(name, 1, 0) for name in ("b", "a", "b", "c", "a", "a"))
    with pytest.raises(ContractError, match=r"contract: a, b is named more than once"):
        replace(CONTRACT, outputs=ports)


@pytest.mark.parametrize("count", [2, 1024])
def test_row_18_states_that_are_too_large_together_are_refused(count: int) -> None:
    fields = json.loads(with_entries("states", count))
    width = 2**16 // count
    for state in fields["states"]:
        state["shape"] = [256, "batch", width]
    assert len(Contract.from_json(json.dumps(fields)).states) == count
    fields["states"][0]["shape"] = [257, "batch", width]
    with pytest.raises(ContractError, match=f"the states hold {2**24 + width} values, at most 16777216 are allowed"):
        Contract.from_json(json.dumps(fields))


# ---- states ----


def test_a_state_may_name_the_initializer_that_it_starts_from() -> None:
    first, second = CONTRACT.states
    contract = replace(CONTRACT, states=(replace(first, initial="lstm.h_0"), second))
    assert Contract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize("initial", ["", None, 0, ["zeros"], {"values": [1.0]}])
def test_an_initial_state_that_is_no_name_is_refused(initial: object) -> None:
    fields = json.loads(CONTRACT.to_json())
    fields["states"][1]["initial"] = initial
    with pytest.raises(ContractError, match=r"states\[1\]: initial = .* is not allowed"):
        Contract.from_json(json.dumps(fields))


def test_state_arrays_are_zeros_for_one_stream() -> None:
    found = state_arrays(CONTRACT)
    assert {name: values.shape for name, values in found.items()} == {
        "lstm.h_in": (2, 1, 64),
        "lstm.c_in": (2, 1, 64),
    }
    assert not any(values.any() for values in found.values())


def test_given_states_are_copied_to_float32_and_the_rest_is_left_out() -> None:
    given = np.ones((2, 1, 64))
    found = checked_state(CONTRACT, {"lstm.c_in": given})
    given[:] = 7
    assert list(found) == ["lstm.c_in"]
    np.testing.assert_array_equal(found["lstm.c_in"], np.ones((2, 1, 64), np.float32), strict=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((2, 64)), r"'lstm.c_in' is float64 \(2, 64\), wanted float32 \(2, 1, 64\)"),
        (np.ones((2, 1, 64), complex), r"'lstm.c_in' is complex128 \(2, 1, 64\), wanted float32"),
        (np.full((2, 1, 64), 2.0**65), r"'lstm.c_in' holds 3\.68.*e\+19, wanted finite values up to 2\^64"),
        (np.full((2, 1, 64), np.nan), "'lstm.c_in' holds nan, wanted finite values"),
    ],
)
def test_a_given_state_that_cannot_be_is_refused(given: np.ndarray, message: str) -> None:
    with pytest.raises(StateError, match=message):
        checked_state(CONTRACT, {"lstm.c_in": given})


def test_a_model_without_states_says_so() -> None:
    with pytest.raises(StateError, match="state 'h' is not one of the model, which has none"):
        checked_state(replace(CONTRACT, states=()), {"h": np.ones(1)})


def test_a_stream_that_is_one_block_reads_nothing_after_it() -> None:
    assert Blocks(None, limit=9) == Blocks(None, 0, 9)
