"""The load generator: every answer of every door is compared, and what is missing or late is said."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("picows")
pytest.importorskip("grpc")
pytest.importorskip("uvicorn")
from load.bench import CLIENTS, Row, measure
from load.node import Node, node
from load.traffic import Record, Traffic, write_plan

TRAFFIC = Traffic(streams=6, chunks=5, period=0.02)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("load") / "A.tide"
    write_plan(path)
    return path


@pytest.fixture(scope="module")
def server(plan: Path) -> Iterator[Node]:
    with node(plan, doors=dict.fromkeys(CLIENTS, 0)) as found:
        yield found


@pytest.mark.parametrize("door", CLIENTS)
def test_all_streams_of_a_door_are_measured_and_compared(plan: Path, server: Node, door: str) -> None:
    row = asyncio.run(measure(plan, server, door, TRAFFIC))
    assert (row.different, row.refused) == (0, [])
    assert 0 < row.p50 <= row.p99 <= row.p999
    assert 0 < row.engine < row.engine + row.besides
    assert re.match(rf" +{door} +6 ", str(row))


def test_an_answer_with_another_bit_is_a_stream_that_differs(plan: Path) -> None:
    hashes = TRAFFIC.hashes(plan)
    record = Record(TRAFFIC)
    for stream, chunk in TRAFFIC.schedule():
        record.answered(stream, bytes([stream == 2, chunk]))
    other = Record(TRAFFIC)
    assert len(set(hashes)) == TRAFFIC.streams
    assert record.different(hashes) == TRAFFIC.streams
    assert record.different([made.digest() for made in record._hashes]) == 0
    for stream, chunk in TRAFFIC.schedule():
        other.answered(stream, bytes([stream == 3, chunk]))
    assert other.different([made.digest() for made in record._hashes]) == 2


def test_latency_counts_from_the_due_time_and_missing_answers_are_named() -> None:
    async def run() -> Record:
        record = Record(Traffic(streams=2, chunks=2, period=0.0))

        def send(stream: int, _chunk: int) -> None:
            if stream == 0:
                record.answered(stream, b"")

        await record.offer(send, patience=0.0)
        return record

    record = asyncio.run(run())
    assert record.refused == ["2 chunks had no answer 0 seconds after the last was due"]
    assert np.array_equal(np.isnan(record.latency), [[False, False], [True, True]])
    assert (record.latency[0] >= record.late[0]).all()


@pytest.mark.parametrize(
    ("change", "short"),
    [
        ({}, ""),
        ({"p99": 0.2}, "p99 200 ms"),
        ({"p99": float("nan")}, "p99 nan ms"),
        ({"besides": 70.0}, "70 us besides the engine"),
        ({"besides": 70.0, "door": "http"}, ""),
        ({"different": 2, "refused": ["busy", "busy"]}, "busy, 2 streams differ"),
    ],
)
def test_a_row_says_what_misses_its_goal(change: dict[str, object], short: str) -> None:
    fields = {"door": "ws", "streams": 500, "p50": 0.01, "p99": 0.02, "p999": 0.03, "late": 0.0, "engine": 20.0}
    fields |= {"besides": 40.0, "client": 30.0, "rows": 5.0, "different": 0, "refused": []}
    assert Row(**{**fields, **change}).short == short  # type: ignore[arg-type]
