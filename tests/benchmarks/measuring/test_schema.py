"""The schema of results: it is the one in docs, results follow it, and what is no result does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from kernels.building import ROOT
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.results import Result, Row
from tidegate.benchmarks.measuring.schema import result_schema

Json = dict[str, Any]
ROW = Row("tidegate", "W8A16", "push", "A", 1, "closed", p50_us=1.5, interval_us=(1.4, 1.6), reasons={"misses": "none"})


@pytest.fixture
def saved(tmp_path: Path) -> Json:
    """What `bench --json` writes."""
    Result(observe((), None), (ROW,), ("busy",)).save(tmp_path / "a.json")
    written: Json = json.loads((tmp_path / "a.json").read_text())
    return written


def faults(given: Json) -> list[str]:
    return [error.json_path for error in Draft202012Validator(result_schema()).iter_errors(given)]


def test_the_schema_in_docs_is_of_this_version() -> None:
    """`make support` writes it."""
    assert json.loads((ROOT / "docs" / "bench.schema.json").read_text()) == result_schema()
    Draft202012Validator.check_schema(result_schema())


def test_a_result_follows_the_schema(saved: Json) -> None:
    assert faults(saved) == []


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("steps", 1.5, ".steps"),
        ("loop", "ajar", ".loop"),
        ("interval_us", [1.0], ".interval_us"),
        ("p50_us", "1.5", ".p50_us"),
        ("reasons", {"misses": 1}, ".reasons.misses"),
        ("new", 1, ""),
    ],
)
def test_a_row_of_another_form_does_not(saved: Json, field: str, value: object, place: str) -> None:
    saved["rows"][0][field] = value
    assert faults(saved) == [f"$.rows[0]{place}"]


def test_a_result_of_another_version_or_without_a_figure_does_not(saved: Json) -> None:
    saved["version"] = 1
    del saved["rows"][0]["max_us"]
    assert faults(saved) == ["$.version", "$.rows[0]"]


def test_every_field_has_its_words() -> None:
    row = result_schema()["properties"]["rows"]["items"]["properties"]
    assert row["misses"]["description"] == "Number of chunks whose answer came after the next chunk was due."
    assert all(one["description"].endswith(".") for one in row.values())
