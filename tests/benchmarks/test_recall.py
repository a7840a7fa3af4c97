"""Recall after a lag: learnt by training, guessed without; the table and the file of results."""

from pathlib import Path

import pytest
from tidegate.benchmarks import recall
from tidegate.benchmarks.recall import Recall


@pytest.mark.slow
def test_recall_is_learnt_at_a_short_lag() -> None:
    pytest.importorskip("torch")

    trained = recall.recalls((3,), 150)

    assert {one.name for one in trained} == {"RNN", "GRU", "LSTM", "Transformer"}
    assert min(one.accuracy for one in trained) > 0.9
    assert all(0 < one.updates <= 150 for one in trained)


def test_without_training_the_symbol_is_guessed() -> None:
    """Torch's threads and random numbers are afterwards as they were."""
    torch = pytest.importorskip("torch")
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    seen: list[int] = []

    guessed = recall.recalls((3,), 0, shown=lambda found: seen.append(len(found)))

    assert max(one.accuracy for one in guessed) < 0.5
    assert seen == [1, 2, 3, 4]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_the_recurrent_nets_have_about_the_same_size() -> None:
    pytest.importorskip("torch")

    sizes = {one.name: one.parameters for one in recall.recalls((3,), 0)}

    transformer = sizes.pop("Transformer")
    assert max(sizes.values()) < 1.07 * min(sizes.values()) < transformer


def test_a_cell_has_the_mean_over_seeds_and_each_seeds_updates() -> None:
    found = [
        Recall("LSTM", 10, lag, seed, updates, 400, accuracy, 1.0)
        for lag, seed, updates, accuracy in ((10, 0, 25, 1.0), (10, 1, 50, 0.5), (30, 0, 400, 0.2), (30, 1, 400, 0.2))
    ]

    table = recall.table(found)

    assert table.columns == ["|", "weights", "10", "30"]
    assert table.rows == [["LSTM", "10", "75% (25 50)", "20% (400 400)"]]
    assert "(0, 1), at most 400 at each lag" in table.title


def test_results_are_read_back_as_saved(tmp_path: Path) -> None:
    found = [Recall("LSTM", 10, 10, 0, 50, 400, 0.5, 1.0)]

    recall.save(found, tmp_path / "recall.json")

    assert recall.read(tmp_path / "recall.json") == found


def test_the_command_trains_with_its_options_and_keeps_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def recalls(lags: object, most: object, seeds: object, _progress: object, shown: object) -> list[Recall]:
        asked.extend((lags, most, seeds))
        found = [Recall("GRU", 10, 5, 3, 50, 400, 0.5, 1.0)]
        shown(found)  # type: ignore[operator]
        return found

    monkeypatch.setattr(recall, "recalls", recalls)

    recall.main(["--lags", "5,9", "--most", "7", "--seeds", "3", "--json", str(tmp_path / "r.json")])

    assert asked == [[5, 9], 7, [3]]
    assert "GRU" in capsys.readouterr().out
    assert recall.read(tmp_path / "r.json")[0].name == "GRU"
