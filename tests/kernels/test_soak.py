"""`make soak`: a seed gives its program again, and answers that differ are noticed. It runs for hours by itself."""

from pathlib import Path

import numpy as np
import pytest
from soak.soak import drawn, replay, soak, write

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
