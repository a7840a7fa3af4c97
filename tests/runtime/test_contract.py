"""The contract reads what it writes and refuses the rest by field."""

import json
from typing import Any

import pytest
from tidegate.runtime.contract import Contract, Port, State
from tidegate.runtime.errors import ContractError

CONTRACT = Contract(
    (Port("x", 1, 0),),
    (Port("output", None, 0),),
    (State("lstm.h_in", "lstm.h_out", "h", (2, "batch", 64)), State("lstm.c_in", "lstm.c_out", "c", (2, "batch", 64))),
    sample_rate=50.0,
    hop=2,
)


def test_contract_survives_its_json() -> None:
    assert Contract.from_json(CONTRACT.to_json()) == CONTRACT


def test_frame_takes_hop_over_sample_rate() -> None:
    assert CONTRACT.frame_seconds == 0.04


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], 2, "contract: version 2, this tidegate reads 1"),
        (["inputs"], "x", "contract: inputs is str, wanted a list"),
        (["inputs"], [], "contract: inputs = "),
        (["inputs", 0], {"name": "x"}, r"inputs\[0\]: missing or unknown field batch_axis, time_axis"),
        (["inputs", 0, "time_axis"], True, "time_axis = True is not allowed"),
        (["states", 0, "kind"], "q", "kind = 'q' is not allowed"),
        (["states", 0, "shape"], [2, "streams", 64], "shape = "),
        (["states", 0, "shape"], [2**40], "shape = "),
        (["states", 0, "__class__"], "x", "missing or unknown field __class__"),
        (["sample_rate"], -1, "sample_rate = -1 is not allowed"),
        (["sample_rate"], float("nan"), "sample_rate = nan is not allowed"),
        (["lookahead"], 3, "lookahead = 3 is not allowed"),
        (["states", 1, "input"], "lstm.h_in", "lstm.h_in stands more than once"),
    ],
)
def test_field_that_cannot_be_is_refused_by_name(path: list[Any], value: object, message: str) -> None:
    fields = json.loads(CONTRACT.to_json())
    place = fields
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ContractError, match=message):
        Contract.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "3"])
def test_text_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        Contract.from_json(text)
