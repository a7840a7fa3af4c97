"""Answers as lines of JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
import tidegate
from tidegate.commands._live_answers import json_lines
from tidegate.runtime.live.notices import Notices
from tools.commands import SIGNAL


@pytest.mark.usefixtures("folder")
def test_a_line_has_what_the_stream_knows_of_a_chunk(capsys: pytest.CaptureFixture[str]) -> None:
    running = tidegate.live(tidegate.load("m.tide"), [SIGNAL[:8]], chunk=4)
    with json_lines(running, Notices(), None) as write:
        for answer in running:
            write(answer)

    first, second, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert {key: second[key] for key in ("first", "frames", "seconds", "late", "lost", "policy")} == {
        "first": 4, "frames": 4, "seconds": 0.08, "late": False, "lost": 0, "policy": None,
    }  # fmt: skip
    assert np.shape(first["answers"]["y"]) == (4, 5)
    assert set(last) == {"counters", "notices"}


@pytest.mark.usefixtures("folder")
def test_notes_are_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    notices = Notices()
    running = tidegate.live(tidegate.load("m.tide"), [SIGNAL[:8]], chunk=4)
    with json_lines(running, notices, None) as write:
        notices("odd", "something odd")
        write(next(running))

    assert capsys.readouterr().err == "tidegate: something odd\n"


def test_nobody_at_the_socket_is_one_clear_line(folder: Path) -> None:
    running = tidegate.live(tidegate.load(folder / "m.tide"), [SIGNAL])

    with (
        pytest.raises(OSError, match=r"tcp://127.0.0.1:1: nobody takes the answers there"),
        json_lines(running, Notices(), "tcp://127.0.0.1:1"),
    ):
        pass
