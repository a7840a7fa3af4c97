"""The suite of Node and Chromium, with a few turns, and a second of sound."""

import math
import runpy
from pathlib import Path

import pytest
from kernels.building import require
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.suites import in_browsers
from tools.browsers import node_tool
from tools.npm_package import write_package

pytestmark = pytest.mark.slow  # the engine is built, and browsers start


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the suite needs; the package is that of the other tests, whose engine is built once."""
    monkeypatch.setattr(runpy, "run_path", lambda _: {"main": write_package})
    require("node")
    require("chromium")
    node_tool("puppeteer-core")


def test_all_contenders_run_and_err_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not in_browsers.ORT.is_dir():
        pytest.skip("onnxruntime-web is not installed, as other runtimes are not: `make peers`")
    monkeypatch.setitem(stacks.CASES, "small", stacks.Case("small", 12, 16, 1))
    rows = in_browsers.measure(tmp_path, ["small"], 12, "scalar")
    assert {row.place for row in rows} == {"node", "chromium", "python"}
    assert len(rows) == 2 * 5 + 1
    for row in rows:
        assert 0 < row.least <= row.median
        assert math.isnan(row.start) == (row.place == "python")
        assert math.isnan(row.error) or row.error < 0.05
    (ours, plain, zipped), (_, _, theirs) = in_browsers.sizes(tmp_path)
    assert ours == "tidegate"
    assert zipped < plain
    assert zipped < 80_000 < theirs


def test_row_171_a_tone_plays_live_through_a_worklet_and_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The minute is `python -m tidegate.benchmarks.browser --worklet 60`; a test on a busy machine asserts no time."""
    seen = in_browsers.worklet(tmp_path, 1)
    assert seen.blocks > 0
    assert seen.refused == 0
    assert math.isclose(seen.share, seen.block_us / 2902.5, rel_tol=1e-3)
    with capsys.disabled():
        print(f"\nLSTM 1 -> 32: {100 * seen.share:.1f} % of a block's deadline, underruns {seen.underruns}")
