"""The lookahead curve: agreement with the offline model for each lookahead."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.export.lookahead_curve import lookahead_curve
from tidegate.runtime.errors import ChunkError, ContractError
from tools.onnx_files import write_lstm
from torch import nn

FRAMES = np.random.default_rng(1).normal(0, 1, (120, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = nn.LSTM(6, 8, batch_first=True, bidirectional=True), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0])  # type: ignore[no-any-return]

    path = tmp_path_factory.mktemp("curve") / "m.onnx"
    export_model(Tagger(), torch.randn(1, 20, 6), path)
    return path


def test_more_lookahead_agrees_more_and_all_of_it_wholly(tagger: Path) -> None:
    points = lookahead_curve(tagger, FRAMES, 4, (0, 4, 16, 120))
    assert [(p.block, p.lookahead, p.wait) for p in points] == [(4, 0, 3), (4, 4, 7), (4, 16, 19), (4, 120, 123)]
    errors = [p.error for p in points]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.01
    assert (points[-1].error, points[-1].largest, points[-1].agreement) == (0, 0, 1)


def test_answers_without_a_time_axis_are_compared_at_ends_of_the_signal(tmp_path: Path) -> None:
    torch.manual_seed(0)

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.fc = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = self.rnn(x)[1][0]
            return self.fc(torch.cat((h[-2], h[-1]), 1))  # type: ignore[no-any-return]

    export_model(Classifier(), torch.randn(1, 20, 6), tmp_path / "m.onnx")
    errors = [lookahead_curve(tmp_path / "m.onnx", FRAMES, block, (0,))[0].error for block in (4, 16, 120)]
    print(errors)
    assert min(errors[:2]) > 0.01
    assert errors[2] == 0


def test_models_without_a_choice_are_refused(tagger: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"m.onnx: it has no backward direction"):
        lookahead_curve(write_lstm(tmp_path / "m.onnx"), FRAMES)
    with pytest.raises(ChunkError, match="0 frames, wanted 1 to"):
        lookahead_curve(tagger, FRAMES[:0])


def test_verify_prints_it(tagger: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FRAMES)
    command = [sys.executable, "-m", "tidegate", "verify", str(tagger), "--data", "x.npy", "--lookaheads", "0,8"]
    printed = [
        subprocess.run([*command, *more], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        for more in ([], ["--json"])
    ]
    assert "Agreement with offline, blocks of 1" in printed[0]
    assert [point["lookahead"] for point in json.loads(printed[1])["points"]] == [0, 8]
