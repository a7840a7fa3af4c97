"""The picture of a live stream in a terminal of 80 columns."""

import io
from pathlib import Path

import numpy as np
import pytest
import tidegate
from rich.console import Console
from tidegate.commands._live_view import BARS, LiveView, curve, live_view
from tidegate.runtime.live.notices import Notices
from tools.commands import SIGNAL


@pytest.mark.usefixtures("folder")
def test_it_shows_curve_label_delays_and_misses_in_80_columns() -> None:
    running = tidegate.live(tidegate.load("m.tide"), np.tile(SIGNAL, (10, 1)), chunk=2)
    view = LiveView(running, "m.tide <- mic", ["yes", "no"])
    for answer in running:
        view.take(answer)
    view.take(answer, ["mic: was cut; is opened again for 30 s"])

    rows = dict(view.rows())
    assert rows["stream"] == "m.tide <- mic  0:00:04.0"
    assert len(rows["y"]) == 60
    assert set(rows["y"]) <= set(BARS)
    newest = answer.values[-1]
    name = ["yes", "no", "2", "3", "4"][int(newest.argmax())]
    assert rows["now"] == f"{name} {newest.max():.4g}"
    assert rows["chunks"] == "100 on time, 0 late, 0 frames wait"
    assert rows["frames"] == "0 lost, 0 dropped, 0 refused"
    assert rows["last"] == "mic: was cut; is opened again for 30 s"

    text = io.StringIO()
    Console(file=text, width=80).print(view.picture())
    assert max(map(len, text.getvalue().splitlines())) <= 80
    assert rows["y"] in text.getvalue()


def test_the_last_picture_stays_and_faults_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running, notices = tidegate.live(tidegate.load(folder / "m.tide"), SIGNAL), Notices()
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with live_view(running, notices, "m", [], console) as write:
        notices("odd", "something odd")
        for answer in running:
            write(answer)

    assert "20 on time" in console.file.getvalue()  # type: ignore[attr-defined]
    assert capsys.readouterr().err == "tidegate: odd: 1 times\n"


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([3], "▁"), ([0, 7, 3.5], "▁█▅"), ([1, 1], "▁▁")])
def test_a_curve_goes_from_the_lowest_to_the_highest(values: list[float], bars: str) -> None:
    assert curve(values) == bars
