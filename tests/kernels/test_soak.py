"""`make soak` and `make month`: answers that differ are noticed. By themselves they run for hours."""

from pathlib import Path

import numpy as np
import pytest
from soak import month
from soak.soak import drawn, replay, soak, write
from tidegate.runtime import _kernels

pytestmark = pytest.mark.slow  # builds the engine's test programs

SEEDS = range(12)


def test_a_seed_draws_the_same_program_again() -> None:
    first, again = drawn(3), drawn(3)
    assert first is not None
    assert again is not None
    assert repr(first) == repr(again)
    assert repr(first) != repr(drawn(4))


def test_every_variant_of_this_processor_equals_the_specification(
    native: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = soak([native / "replay"], SEEDS[0], len(SEEDS))
    assert refused < len(SEEDS) / 2
    assert f"0 to 11 equal, {refused} refused so far" in capsys.readouterr().out


def test_an_answer_that_differs_is_noticed_with_its_seed(native: Path, tmp_path: Path) -> None:
    stem = next(found for seed in SEEDS if (found := write(tmp_path, seed)))
    path = stem.with_suffix(".answers")
    answers = np.fromfile(path, "<f4")
    answers[-1] += 1
    answers.tofile(path)
    assert f"replay: {stem} differs" in replay([native / "replay"], [stem])


def test_pieces_of_a_month_in_a_group_and_alone_are_equal_from_variant_to_variant() -> None:
    """The second piece goes on from the snapshots of the first; in both, streams end and others begin."""
    first, *_, last = _kernels.variants()
    before: month.Snapshots = []
    for piece, (one, other) in enumerate([(first, last), (last, first)]):
        assert any(begins is not None for *_, begins in month.pushes(piece, 1500))
        hashes, after = month.in_group("small", piece, one, 1500, before)
        assert (hashes, after) == month.alone("small", piece, other, 1500, before)
        assert len(set(hashes)) == month.ROWS
        before = after


def test_a_piece_of_a_month_from_another_state_is_noticed() -> None:
    isa = _kernels.variants()[-1]
    _, before = month.in_group("small", 0, isa, 300, [])
    hashes, _ = month.alone("small", 1, isa, 300, before)
    swapped, _ = month.in_group("small", 1, isa, 300, [before[1], before[0], *before[2:]])
    assert [row for row in range(month.ROWS) if hashes[row] != swapped[row]] == [0, 1]


def test_answers_of_a_month_that_are_not_those_of_the_specification_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specified = month.specified
    monkeypatch.setattr(month, "specified", lambda *given: specified(*given) + np.float32(1e-6))
    with pytest.raises(AssertionError, match="not equal"):
        month.alone("small", 0, _kernels.variants()[-1], 300, [])
