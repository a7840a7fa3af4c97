"""BeatNet's net with random weights: the module and the formula agree."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
from beatnet import FILE, Beats, reference


def test_the_module_equals_the_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Beats()
    torch.save(net.state_dict(), FILE)
    (stream,) = reference()
    with torch.no_grad():
        seen = net(torch.from_numpy(stream.frames)[None])[0]
    assert stream.answers.shape == (500, 3)
    np.testing.assert_allclose(seen, stream.answers, atol=1e-5)
