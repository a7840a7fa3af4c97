"""`tidegate bench`: files and suites, results, pages and comparisons."""

import json
from pathlib import Path

import pytest
from tidegate.benchmarks.recall import Recall
from tidegate.benchmarks.suites.families import Cost
from tidegate.benchmarks.suites.streams_per_core import Capacity
from tools.commands import Command, assert_refused, assert_wrong_usage

QUICK = ("--seconds", "0.05", "--processes", "2")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.tide", "--hop", "soon"], "--hop is 'soon', wanted a time with its unit"),
        (["m.tide", "--hop", "10"], "--hop is '10', wanted a time with its unit, e.g. 10ms"),
        (["m.tide", "--closed", "--inject-stall", "200"], "--inject-stall is '200', wanted a time with its unit"),
        (["m.tide", "--rate", "100", "--hop", "10ms"], "wanted --rate 100/s or --hop 10ms"),
        ([], "wanted a file, --suite NAME, or --compare"),
        (["--compare", "a.json"], "--compare takes two results"),
        (["m.tide", "--closed", "--against", "none/python"], "no such interpreter"),
        (["--suite", "cells", "--cases", "Z"], "there is no case 'Z'"),
        (["--suite", "cells", "--steps", "1,a"], "--steps is '1,a', wanted numbers from 1 with commas"),
        (["m.tide", "--peers", "abacus"], "peer 'abacus' is unknown; there are tidegate"),
        (["m.tide", "--suite", "cells"], "wanted a file, --suite NAME, or --compare"),
        (["--suite", "families", "--rate", "100/s"], "--rate has no effect with families; it is for FILE"),
        (["m.tide", "--closed", "--cases", "A"], "--cases has no effect with FILE; it is for cells"),
        (["--compare", "a.json", "b.json", "--html", "x.html"], "--html has no effect with --compare"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], message: str, tide: Command) -> None:
    outcome = tide("bench", *arguments)

    assert_wrong_usage(outcome, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["altered.tide"], "plan: hash"),
        (["m.tide", "--input", "nan.npy"], "nan.npy, frame 13: holds nan, wanted finite"),
        (["m.tide", "--input", "wide.npy"], "wide.npy: has shape \\(4, 7\\), wanted"),
        (["--compare", "garbage.onnx", "m.onnx"], "garbage.onnx: not a result"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(arguments: list[str], message: str, tide: Command, bad: Path) -> None:
    before = sorted(bad.iterdir())

    assert_refused(tide("bench", *arguments), message)

    assert sorted(bad.iterdir()) == before


@pytest.mark.slow
def test_it_measures_beside_onnxruntime(tide: Command, folder: Path) -> None:
    pytest.importorskip("onnxruntime")

    outcome = tide("bench", "m.int8.onnx", "--input", "x.npy", "--json", "r.json", "--html", "r.html", *QUICK)

    assert (outcome.status, outcome.err) == (0, "")
    for word in ("tidegate as given push", "onnxruntime int8 IOBinding", "p99.9", "misses", "due every 20000 us"):
        assert word in outcome.out
    rows = json.loads((folder / "r.json").read_text())["rows"]
    assert {row["loop"] for row in rows} == {"open"}
    assert {row["rate_hz"] for row in rows} == {50.0}
    assert "<svg" in (folder / "r.html").read_text()


def test_it_times_a_plan_alone_and_says_why(tide: Command, folder: Path) -> None:
    pytest.importorskip("hdrh")
    pytest.importorskip("onnxruntime")
    outcome = tide("bench", "m.tide", "--peers", "by_hand,onnxruntime", "--closed", "--json", "r.json", *QUICK)

    assert "closed loop" in outcome.out
    assert "onnxruntime int8 run: only tidegate runs a compiled plan" in " ".join(outcome.out.split())
    ours = json.loads((folder / "r.json").read_text())["rows"][0]
    assert ours["misses"] is None
    assert "a closed loop has no rate" in ours["reasons"]["misses"]
    assert "compiled plan" in ours["reasons"]["error_rms"]


@pytest.mark.parametrize("suite", ["families", "streams"])
def test_a_suite_of_tables_writes_every_file(
    suite: str, tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures are given here; other tests are for the functions that measure them."""
    pytest.importorskip("matplotlib")
    costs = [Cost("LSTM", 10, at, 1.0, 5) for at in (10, 100)]
    monkeypatch.setattr("tidegate.benchmarks.suites.families.costs", lambda **_: costs)
    monkeypatch.setattr(
        "tidegate.benchmarks.recall.recalls", lambda *_, **__: [Recall("LSTM", 1, 9, 0, 5, 9, 0.5, 1.0)]
    )
    monkeypatch.setattr(
        "tidegate.benchmarks.suites.streams_per_core.measure",
        lambda **_: [Capacity("x", "A", 9.0, 7, 5.0, 9, {7: 5.0})],
    )
    names = {"families": {"families", "recall"}, "streams": {"streams"}}[suite]

    outcome = tide("bench", "--suite", suite, "--json", "f.json", "--html", "f.html", "--pictures", "p")

    assert outcome.status == 0
    assert "Machine: " in outcome.out
    assert "engine unused" not in outcome.out
    assert {path.name for path in (folder / "p").iterdir()} == {
        f"{name}.{end}" for name in names for end in ("png", "svg")
    }
    assert (folder / "f.html").read_text().count("<svg") == len(names)
    assert json.loads((folder / "f.json").read_text()).keys() > {"environment"}


def test_it_compares_two_results(tide: Command, folder: Path) -> None:
    pytest.importorskip("hdrh")
    tide("bench", "m.tide", "--peers", "none", "--closed", "--json", "a.json", *QUICK)
    slower = json.loads((folder / "a.json").read_text())
    for row in slower["rows"]:
        row["p50_us"] *= 10
        row["interval_us"] = [10 * time for time in row["interval_us"]]
    slower["environment"]["processor"] = "another"
    (folder / "b.json").write_text(json.dumps(slower))

    outcome = tide("bench", "--compare", "a.json", "a.json")
    assert outcome.status == 0
    assert "Measured" not in outcome.out
    outcome = tide("bench", "--compare", "a.json", "b.json", "--json", "changes.json")
    assert outcome.status == 1
    assert "1 of 1 rows slower" in outcome.out
    assert ", then on another with " in " ".join(outcome.out.split())  # a line is as long as the name of the processor
    (change,) = json.loads((folder / "changes.json").read_text())["changes"]
    assert (change["verdict"], change["ratio"]) == ("slower", pytest.approx(10))
