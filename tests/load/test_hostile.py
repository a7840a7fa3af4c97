"""A few hundred hostile requests at each door; and a campaign that finds what it looks for."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("picows")
pytest.importorskip("grpc")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")
from load.hostile import attack
from load.hostile_requests import SENT, damaged
from load.traffic import write_plan

REQUESTS = 300  # at each door


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


@pytest.mark.parametrize("door", SENT)
def test_a_case_is_the_same_bytes_each_time_and_cases_differ(door: str) -> None:
    cases = [SENT[door](np.random.default_rng([1, n])) for n in (1, 2, 1)]
    assert cases[0] == cases[2] != cases[1]


def test_damage_changes_bytes_and_no_chance_changes_none() -> None:
    rng, data = np.random.default_rng(0), bytes(100)
    assert all(damaged(rng, data, 0.0) == data for _ in range(50))
    assert sum(damaged(rng, data, 1.0) != data for _ in range(50)) >= 45
