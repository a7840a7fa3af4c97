"""The accuracy table of a small model: its contenders, their figures and their goals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.benchmarks import accuracy
from tidegate.benchmarks.accuracy import Score, goals, scores, table, torch_answers
from tidegate.benchmarks.peers import onnxruntime
from tidegate.benchmarks.peers.job import CannotRunError
from tidegate.benchmarks.tasks import NAMES
from tidegate.benchmarks.tasks.task import Answers, Goal, Task
from torch import Tensor, nn


def test_a_folder_that_is_not_there_is_given_as_the_message_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "find", lambda *_: None)
    monkeypatch.setattr(accuracy, "scores", lambda *_, **__: [])
    name = next(iter(NAMES))
    with pytest.raises(SystemExit, match="there is no such folder; give the weights and recordings with --data FOLDER"):
        accuracy.main([name], tmp_path / "none", as_json=True)
    accuracy.main([name], tmp_path, as_json=True)
    assert '"rows": []' in capsys.readouterr().out


class Net(nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.rec = cell(3, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.rec(x)[0])
        return y


def task(cell: type[nn.LSTM] | type[nn.GRU] = nn.LSTM) -> Task:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    streams = [rng.standard_normal((60, 3), np.float32) for _ in range(6)]

    def figures(answers: Answers, exact: Answers) -> dict[str, float]:
        return {"error": max(float(np.abs(a - b).max()) for a, b in zip(answers, exact, strict=True))}

    wanted = {"error": Goal(0.1, 1e-9)}
    return Task("net", Net(cell).eval(), 3, streams, streams[:2], figures, wanted, wanted, wanted, wanted, 10)


@pytest.mark.slow
def test_every_contender_has_a_row_and_ours_its_goals(tmp_path: Path) -> None:
    made = {row.contender: row for row in scores(task(), tmp_path)}
    ours = ["W8A16 nearest", "W8A16", "W8A16 per channel", "W4A16g32", "W16A16"]
    assert list(made) == ["float32", "torch int8", "onnxruntime int8", *ours]
    assert made["float32"].figures == {"error": 0}
    assert all(0 < row.figures["error"] < 0.2 for name, row in made.items() if name != "float32")
    assert made["W16A16"].figures["error"] < made["W8A16"].figures["error"] < made["torch int8"].figures["error"]
    assert [made[name].met for name in ours] == ["", "must", "must", "must", "must"]
    text = table(task(), list(made.values())).to_markdown()
    assert "torch and onnxruntime with 10 frames per call" in text
    assert list(goals([made["W8A16"]])) == ["W8A16: error at most 0.1, better 1e-09"]


@pytest.mark.slow
def test_each_method_for_ranges_of_activations_has_a_score(tmp_path: Path) -> None:
    made = {row.contender: row.figures["error"] for row in scores(task(), tmp_path, ranges=True)}
    by_ranges = [f"W8A8 {way}" for way in ("minmax", "percentile", "mse", "entropy")]
    assert list(made) == ["float32", "W8A16 per frame", "W8A8 per frame", *by_ranges]
    assert made["W8A16 per frame"] < made["W8A8 per frame"] < 0.2
    assert all(made[name] > made["W8A16 per frame"] for name in by_ranges)


def test_a_peer_that_cannot_run_gives_its_reason(tmp_path: Path) -> None:
    made = {row.contender: row for row in scores(task(nn.GRU), tmp_path)}
    assert made["onnxruntime int8"].remark.startswith("no LSTM in the graph")
    assert made["onnxruntime int8"].figures == {}


def test_a_rival_with_fewer_bits_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnxruntime, "products_saturate", lambda: True)
    made = {row.contender: row.remark for row in scores(task(), tmp_path)}
    assert made["onnxruntime int8"] == "weights of 7 bits, because its products with 8 saturate on this processor"
    assert made["torch int8"] == ""


def test_torch_carries_the_state_and_depends_on_the_chunk() -> None:
    net = task()
    one, same, whole = (torch_answers(replace(net, chunk=chunk))[0] for chunk in (1, 1, 0))
    np.testing.assert_array_equal(one, same)
    assert 0 < np.abs(one - whole).max() < 0.1
    with torch.no_grad():
        exact = net.module(torch.from_numpy(net.streams[0])[None])[0].numpy()
    assert 0 < np.abs(whole - exact).max() < 0.1


def test_torch_without_a_recurrent_layer_is_refused() -> None:
    with pytest.raises(CannotRunError, match="the module has no recurrent layer among its direct children"):
        torch_answers(replace(task(), module=nn.Sequential(nn.Linear(3, 3))))


def test_the_worst_goal_counts() -> None:
    row = Score("net", "W8A16", 0, {"a": 1, "b": 2}, {"a": Goal(3, 1), "b": Goal(3, 1)})
    assert row.met == "must"
