"""A few hundred hostile requests at each door; and a campaign that finds what it looks for."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("picows")
pytest.importorskip("grpc")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
from load.hostile import attack
from load.hostile_ledger import Leg, grown, legs, note, total
from load.hostile_requests import SENT, damaged, in_place
from load.traffic import write_plan

REQUESTS = 3000  # at each door


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "A.tide"
    write_plan(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("door", SENT)
def test_row_241_hostile_requests_change_no_neighbour_and_leave_no_traceback(plan: Path, door: str) -> None:
    found = attack(plan, door, REQUESTS)
    assert found.wrong == []
    assert found.sent >= REQUESTS
    assert found.compared > 1
    assert sum(leg.judged for leg in found.legs) > 100


@pytest.mark.parametrize("door", SENT)
def test_a_case_is_the_same_bytes_each_time_and_cases_differ(door: str) -> None:
    cases = [SENT[door](np.random.default_rng([1, n])) for n in (1, 2, 1)]
    assert cases[0] == cases[2] != cases[1]


def test_damage_changes_bytes_and_no_chance_changes_none() -> None:
    rng, data = np.random.default_rng(0), bytes(100)
    assert all(damaged(rng, data, 0.0) == data for _ in range(50))
    assert sum(damaged(rng, data, 1.0) != data for _ in range(50)) >= 45


def test_bytes_that_change_in_place_keep_their_length_and_what_stands_before() -> None:
    data = b'POST {"shape": [10, 40]}'
    copies = in_place(np.random.default_rng(0), data, 5, 60)
    assert {len(copy) for copy in copies} == {len(data)}
    assert {copy[:5] for copy in copies} == {b"POST "}
    assert sum(copy != data for copy in copies) > 40
    digits = in_place(np.random.default_rng(0), data, 5, 60, digits=True)
    assert {bytes(one for one in copy if not chr(one).isdigit()) for copy in digits} == {b'POST {"shape": [, ]}'}
    assert len(set(digits)) > 40


def test_a_run_goes_on_after_the_last_leg_of_its_door(tmp_path: Path) -> None:
    made = [Leg("ws", 0, 7, 100, 90, 5, 0, 60, "a"), Leg("http", 0, 9, 10, 9, 1, 0, 70, "b")]
    made += [Leg("ws", 7, 20, 100, 80, 5, 1, 64, "a"), Leg("ws", 20, 30, 50, 50, 2, 0, 61, "c", ("a bit",))]
    for leg in made:
        note(leg, tmp_path / "ledger.jsonl")
    found = legs("ws", tmp_path / "ledger.jsonl")
    assert [(leg.first, leg.beyond) for leg in found] == [(0, 7), (7, 20), (20, 30)]
    assert grown(found, "a") == 4
    assert total(found).startswith("250 requests, 220 came to the engine, 12 chunks of the neighbour equal, 1 hung")
    assert total(found).endswith("at most 4 MiB more at the end of a server than after its first fifth, 1 wrong")
    assert legs("ws", tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("door", SENT)
def test_the_ledger_has_no_gap_and_nothing_wrong(door: str) -> None:
    found = legs(door)
    assert all(leg.wrong in ((), []) for leg in found)
    assert [leg.beyond for leg in found[:-1]] == [leg.first for leg in found[1:]]
