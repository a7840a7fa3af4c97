"""A contract that was written is read again; any other text is refused by its field."""

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.contract import (
    HIDDEN,
    METADATA_KEY,
    MOST_PORTS,
    Ahead,
    Blocks,
    Contract,
    Piece,
    Port,
    Slot,
    State,
    checked_state,
    features_of_ids,
    state_arrays,
)
from tidegate.runtime.errors import ContractError, StateError

CONTRACT = Contract(
    (Port("x", 1, 0),),
    (Port("output", None, 0),),
    (State("lstm.h_in", "lstm.h_out", "h", (2, "batch", 64)), State("lstm.c_in", "lstm.c_out", "c", (2, "batch", 64))),
    sample_rate=50.0,
    hop=2,
)


NEWEST = replace(CONTRACT, ahead=(Ahead("conv", 3),), lookahead=3, fixed=("w",))  # of the newest version


def with_value(path: list[Any], value: object, contract: Contract = NEWEST) -> str:
    """Return the text of a contract with one value in it."""
    fields = place = json.loads(contract.to_json())
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(fields)


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
        (["states", 1, "output"], "lstm.h_out", "lstm.h_out is named more than once"),
    ],
)
def test_row_22_field_that_cannot_be_is_refused_by_name(path: list[Any], value: object, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        Contract.from_json(with_value(path, value, CONTRACT))


def test_a_state_may_have_the_largest_size() -> None:
    fields = json.loads(CONTRACT.to_json())
    fields["states"][0]["shape"] = [1, "batch", 2**16]
    assert Contract.from_json(json.dumps(fields)).states[0].shape == (1, "batch", 2**16)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "3"])
def test_text_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        Contract.from_json(text)


# Each field, values that are its limits from inside, and values that are just outside, or of another type.
LIMITS: list[tuple[list[Any], list[Any], list[Any]]] = [
    (["inputs", 0, "name"], ["y"], ["", None, 3]),
    (["outputs", 0, "name"], ["y"], ["", None, 3]),
    (["states", 0, "input"], ["y"], ["", None, 3]),
    (["states", 0, "output"], ["y"], ["", None, 3]),
    (["ahead", 0, "node"], ["y"], ["", None, 3]),
    (["inputs", 0, "time_axis"], [None, 0, 7], [-1, 8, 1.0, False]),
    (["inputs", 0, "batch_axis"], [None, 0, 7], [-1, 8, 1.0, False]),
    (["states", 0, "kind"], ["h", "c", "tail", "state", "static"], ["", "H", None]),
    (
        ["states", 0, "shape"],
        [[1], ["batch"], [2**16, 2**8 - 1], [1] * 7],
        [[1] * 8, [0], [2**16, 2**8 + 1], ["b"], [1.0], 3],
    ),
    (["lookahead"], [0, 2**20], [-1, 2**20 + 1, True, 1.0]),
    (["ahead", 0, "frames"], [1, 2**20], [0, 2**20 + 1, True, 1.0]),
    (["sample_rate"], [None, 1, 1e-9, 9e11], [0, 1e12, True, "50"]),
    (["hop"], [None, 1, 2**31 - 1], [0, 2**31, True, 1.0]),
    (["inputs"], [], [[]]),
    (["outputs"], [], [[]]),
    (["states"], [[]], []),
    (["pieces"], [[]], []),
    (["samples"], [False], [0, None, "x"]),
    (["fixed"], [["w"], ["w"] * 1024], [["w"] * 1025, [3], "w", None]),
]


@pytest.mark.parametrize(("path", "inside", "outside"), LIMITS, ids=[".".join(map(str, path)) for path, *_ in LIMITS])
def test_each_field_has_its_limits(path: list[Any], inside: list[Any], outside: list[Any]) -> None:
    for value in inside:
        read = json.loads(Contract.from_json(with_value(path, value)).to_json())
        for key in path:
            read = read[key]
        assert read == value
    for value in outside:
        with pytest.raises(ContractError, match=rf"^contract.*: {path[-1]} = .* is not allowed$|wanted a list$"):
            Contract.from_json(with_value(path, value))


def test_the_grid_has_its_limits() -> None:
    for blocks in ({"frames": 1, "lookahead": 0}, {"frames": 2**20, "lookahead": 2**20}):
        read = Contract.from_json(with_value(["blocks"], blocks | {"limit": None})).blocks
        assert read == Blocks(blocks["frames"], blocks["lookahead"])
    for frames, lookahead, name in (
        (0, 0, "frames"),
        (2**20 + 1, 0, "frames"),
        (1, -1, "lookahead"),
        (1, 2**20 + 1, "l"),
    ):
        with pytest.raises(ContractError, match=f"^contract: blocks: {name}.* is not allowed$"):
            Contract.from_json(with_value(["blocks"], {"frames": frames, "lookahead": lookahead, "limit": None}))
    fields = json.loads(with_value(["lookahead"], None))
    for limit, ok in ((1, True), (2**20, True), (0, False), (2**20 + 1, False), (True, False)):
        text = json.dumps(fields | {"blocks": {"frames": None, "lookahead": 0, "limit": limit}})
        if ok:
            assert Contract.from_json(text).blocks == Blocks(None, 0, limit)
        else:
            with pytest.raises(ContractError, match=f"^contract: blocks: limit = {limit} is not allowed$"):
                Contract.from_json(text)


def test_the_text_of_a_contract_is_this() -> None:
    """The metadata of every file: a change of a name or a default here cannot be read by others."""
    assert METADATA_KEY == "tidegate.contract"
    contract = Contract((Port("x", 1, 0),), (Port("y", None, 0),), (State("h_in", "h_out", "h", (1, "batch", 2)),))
    assert contract.to_json() == (
        '{"version":2,"inputs":[{"name":"x","time_axis":1,"batch_axis":0}],'
        '"outputs":[{"name":"y","time_axis":null,"batch_axis":0}],'
        '"states":[{"input":"h_in","output":"h_out","kind":"h","shape":[1,"batch",2],"initial":"zeros"}],'
        '"lookahead":0,"sample_rate":null,"hop":null,"blocks":null,"ahead":[]}'
    )
    newest = json.loads(replace(contract, fixed=("w",)).to_json())
    assert (newest["version"], newest["pieces"], newest["samples"], newest["fixed"]) == (4, [], False, ["w"])
    assert json.loads(replace(contract, samples=True, hop=1).to_json())["version"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "contract: not JSON .*; export the model again"),
        ("[]", "contract: version list, this tidegate reads 1 to 4; export the model again"),
        ("{}", "contract: version None, this tidegate reads 1 to 4; export the model again"),
        ('{"version":0}', "contract: version 0, this tidegate reads 1 to 4; export the model again"),
        ('{"version":2.0}', r"contract: version 2\.0, this tidegate reads 1 to 4; export the model again"),
        ('{"version":4}', "contract: missing or unknown field ahead, blocks, fixed, .*; wanted ahead, .*, states"),
    ],
)
def test_text_that_is_no_contract_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=f"^{message}$"):
        Contract.from_json(text)


def test_a_state_needs_sizes_and_one_input_may_hold_several_signals() -> None:
    first, second = CONTRACT.states
    with pytest.raises(
        ContractError, match=r"^contract: state 'lstm.c_in' has shape \(\), wanted sizes; only a signal o"
    ):
        replace(CONTRACT, states=(first, replace(second, shape=())))
    with pytest.raises(ContractError, match=r"^contract: pieces = .* of 2 inputs; wanted two or more signals of fixed"):
        replace(CONTRACT, pieces=NEAR_AND_FAR, inputs=(Port("x", 1, 0), Port("z", 1, 0)))
    with pytest.raises(
        ContractError, match=r"samples is true with hop = 160 and 2 pieces; wanted the samples of a frame i"
    ):
        replace(CONTRACT, samples=True, hop=160, pieces=NEAR_AND_FAR)


def test_what_follows_from_the_fields() -> None:
    assert replace(CONTRACT, hop=None).frame_seconds == 0.02
    assert replace(CONTRACT, sample_rate=None).frame_seconds is None
    assert not CONTRACT.looks_ahead
    assert replace(CONTRACT, ahead=(Ahead("conv", 3),), lookahead=3).looks_ahead
    assert replace(CONTRACT, blocks=Blocks(4, 2), lookahead=5).looks_ahead
    assert State("i", "o", "h", (2, "batch", 3)).concrete_shape(5) == (2, 5, 3)


@pytest.mark.parametrize("one", [CONTRACT, *CONTRACT.inputs, *NEAR_AND_FAR, *CONTRACT.states, Blocks(4), Ahead("a", 1)])
def test_a_contract_does_not_change(one: object) -> None:
    for name in vars(one):
        with pytest.raises(FrozenInstanceError):
            setattr(one, name, None)


def test_ids_stand_at_the_end_of_what_is_before_them() -> None:
    pieces = (Piece("a", (2, 3)), Piece("word", ()), Piece("b", (4,)), Piece("speaker", ()))
    assert [piece.ids for piece in pieces] == [False, True, False, True]
    assert features_of_ids(pieces) == [6, 11]
    assert features_of_ids(NEAR_AND_FAR) == []
    assert Slot("", 0) == HIDDEN  # in the text of plans


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
    with pytest.raises(StateError, match=r"^state 'h' is not one of the model, which has lstm.h_in, lstm.c_in$"):
        checked_state(CONTRACT, {"h": np.ones(1)})


def test_a_given_state_may_hold_values_up_to_2_to_64() -> None:
    given = np.full((2, 1, 64), -(2.0**64))
    np.testing.assert_array_equal(checked_state(CONTRACT, {"lstm.h_in": given})["lstm.h_in"], given)


def test_a_stream_that_is_one_block_reads_nothing_after_it() -> None:
    assert Blocks(None, limit=9) == Blocks(None, 0, 9)
