"""Every task has its module, which needs only the folder of weights and recordings."""

from pathlib import Path

import pytest
from tidegate.benchmarks.tasks import AMPS, NAMES, find
from tidegate.benchmarks.tasks.amp import GOALS


@pytest.mark.parametrize("name", NAMES)
def test_each_task_looks_for_its_weights_in_the_folder(name: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises((FileNotFoundError, OSError), match=r"No such file|not found") as caught:
        find(name, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_each_amplifier_has_goals() -> None:
    assert tuple(GOALS) == AMPS
