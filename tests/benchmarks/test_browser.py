"""The table and the sentences of the benchmark in browsers."""

import pytest
from tidegate.benchmarks import browser
from tidegate.benchmarks.suites import in_browsers
from tidegate.benchmarks.suites.in_browsers import FLOAT, INT8, NATIVE, Row

ROWS = [
    Row("node", "tidegate W8A16", "A", 80, 3.5e-4, 5.0, 5.5),
    Row("node", FLOAT, "A", 300, 1.6e-8, 45.0, 50.0),
    Row("node", INT8, "A", 310, 5.7e-4, 60.0, 66.0),
    Row("python", f"{NATIVE} avx2", "A", float("nan"), float("nan"), 2.5, 2.6),
]


def test_a_row_has_the_least_and_the_median_and_dashes_without_a_page() -> None:
    lines = browser.table(ROWS).to_markdown().splitlines()
    assert lines[2] == "|  | A least | A median | A error | A start ms |"
    assert "| node: tidegate W8A16 | 5.0 | 5.5 | 3.5e-04 | 80 |" in lines
    assert lines[-1] == "| python: native W8A16 avx2 | 2.5 | 2.6 | - | - |"


def test_times_faster_are_those_over_the_better_rival_and_the_engine_itself() -> None:
    (said,) = browser.verdicts(ROWS)
    assert said == (
        "node, A: 9.0 times faster than onnxruntime-web's better one, 2.0 times the engine without it "
        "(goals at least 8 and at most 3)."
    )


def test_what_cannot_run_ends_the_command_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(in_browsers, "MODULES", in_browsers.ROOT / "not" / "there")
    with pytest.raises(SystemExit, match=r"browser: error: the npm package puppeteer-core@.* is not installed"):
        browser.main(["--worklet", "1"])
    assert capsys.readouterr().out == ""
