"""A part of a day of frames with faults; `make day` streams the whole."""

import subprocess
import sys
from pathlib import Path


def test_a_part_of_a_day_with_faults_is_accounted_for_and_equal() -> None:
    script = Path(__file__).with_name("day.py")

    done = subprocess.run([sys.executable, script, "60000"], capture_output=True, text=True, check=True)

    assert "60000 frames" in done.stdout
    assert "every answer equal" in done.stdout
