"""The time of day jumps by an hour and a year, there and back, and nobody notices but the log."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.preloading import library_of, on_linux

HERE = Path(__file__).parent
HOUR, YEAR = 3600, 366 * 86400

pytestmark = on_linux


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that is loaded in front of the C library."""
    return library_of("jumping_clock", tmp_path_factory.mktemp("clock"))


def test_row_252_a_clock_that_jumps_changes_no_answer_and_forgets_no_stream(library: Path) -> None:
    """A live stream, a stream of a server that goes on in another, and signatures; the clock jumps there and back."""
    jumps = [0, HOUR, -HOUR, YEAR, -YEAR]
    command = [sys.executable, str(HERE / "clock.py"), *map(str, jumps)]
    loaded = os.environ | {"LD_PRELOAD": str(library)}
    done = subprocess.run(command, env=loaded, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert found[0]["stream_live"][1] == 0
    _, refusals, idle, restored, fenced = found[0]["serve"]
    assert (refusals, idle, restored, fenced) == ([""] * 6, 0, 1, 0)
    assert found[0]["signed"][1]
    assert found == dict.fromkeys(jumps, found[0])
