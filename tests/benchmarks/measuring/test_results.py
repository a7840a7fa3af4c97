"""Rows: their percentiles, histograms and runs of misses, and the JSON file of a result."""

import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tidegate.benchmarks.measuring.environment import observe
from tidegate.benchmarks.measuring.results import (
    Result,
    Row,
    counts_of,
    histogram_of,
    longest_run,
    percentiles,
    series,
    warnings_of,
)
from tidegate.runtime.errors import ModelError

ROW = Row("tidegate", "W8A16", "push", "A", 1, "closed", p50_us=1.5, interval_us=(1.4, 1.6), reasons={"misses": "none"})


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300))
def test_percentiles_are_times_that_occurred(times: list[int]) -> None:
    found = percentiles(np.array(times))

    assert found["max_us"] == max(times) / 1e3
    assert ("p90_us" in found, "p99_us" in found) == (len(times) >= 10, len(times) >= 100)
    for name, share in (("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99)):
        if name not in found:
            continue
        time = round(found[name] * 1e3)
        assert time in times
        assert sum(other <= time for other in times) >= share * len(times)


@pytest.mark.slow
@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=100))
def test_a_histogram_holds_every_time_to_three_digits(times: list[int]) -> None:
    held, counts = counts_of(histogram_of(np.array(times)))

    assert sum(counts) == len(times)
    again = np.repeat(held, counts)
    np.testing.assert_allclose(again, np.sort(times) / 1e3, rtol=2e-3, atol=1e-3)


@given(st.lists(st.booleans(), max_size=60))
def test_the_longest_run_of_misses(missed: list[bool]) -> None:
    wanted = max((len(list(run)) for late, run in groupby(missed) if late), default=0)

    assert longest_run(np.array(missed, bool)) == wanted


def test_a_series_keeps_every_peak() -> None:
    times = np.ones(5000, np.int64)
    times[1234] = 777_000

    found = series(times)

    assert len(found) == 400
    assert max(found) == 777.0


def test_a_result_reads_back_as_it_was(tmp_path: Path) -> None:
    result = Result(observe((), None), (ROW,))
    result.save(tmp_path / "r.json")

    assert Result.read(tmp_path / "r.json") == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not a result"),
        ("[1]", "not a result"),
        ("nothing", "not a result"),
        ('{"version": 1}', "results of version 1, this tidegate reads 3; measure again"),
        ('{"version": "' + 9 * "long " + '"}', "results of version 'long long .{20,30}, this tidegate reads 3"),
        ('{"version": 3, "environment": {"evil": 1}, "rows": []}', "evil"),
        ("[" * 100_000, "not a result"),
    ],
)
def test_a_file_that_is_no_result_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)

    with pytest.raises(ModelError, match=message):
        Result.read(tmp_path / "r.json")


def test_a_file_of_other_bytes_is_refused_without_them(tmp_path: Path) -> None:
    """Python's own error would print the whole file."""
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 100_000)

    with pytest.raises(ModelError, match="not a result of `tidegate bench --json`: 'utf-8' codec") as caught:
        Result.read(tmp_path / "m.onnx")
    assert len(str(caught.value)) < 200 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("field", "value"), [("p50_us", "fast"), ("interval_us", [1, 2, 3]), ("interval_us", 1), ("steps", 1.5),
                         ("loop", "both"), ("reasons", {"row": 1}), ("case", None), ("histogram", [1])],
)  # fmt: skip
def test_a_field_of_another_type_is_refused_by_its_name(field: str, value: object, tmp_path: Path) -> None:
    Result(observe((), None), (ROW,)).save(tmp_path / "r.json")
    fields = json.loads((tmp_path / "r.json").read_text())
    fields["rows"][0][field] = value
    (tmp_path / "r.json").write_text(json.dumps(fields))

    with pytest.raises(ModelError, match=f"not a result of `tidegate bench --json`: {field} is "):
        Result.read(tmp_path / "r.json")


@pytest.mark.parametrize("value", ["NaN", "1e999", "-Infinity", "-1", "1" + 400 * "0", "[1, NaN]", f"[{400 * '9'}, 1]"])
def test_a_figure_that_is_no_time_is_refused_by_its_name(value: str, tmp_path: Path) -> None:
    """Else a comparison would call it `same`, with status 0."""
    field = "interval_us" if value.startswith("[") else "p50_us"
    Result(observe((), None), (ROW,)).save(tmp_path / "r.json")
    fields = json.loads((tmp_path / "r.json").read_text())
    fields["rows"][0][field] = "HERE"
    (tmp_path / "r.json").write_text(json.dumps(fields).replace('"HERE"', value))

    with pytest.raises(ModelError, match=f": {field} is .*, wanted finite times from 0; measure again"):
        Result.read(tmp_path / "r.json")


def test_unsteady_rows_are_named() -> None:
    shaky = Row("mnn", "int8", "Module", "A", 1, "closed", unsteady=0.5)

    assert warnings_of([ROW]) == []
    assert "mnn int8 Module 50%" in warnings_of([ROW, shaky])[0]
