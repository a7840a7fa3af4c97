"""Options of several commands: times, rates, and output files that cannot be written."""

from pathlib import Path

import pytest
import typer
from tidegate.commands._options import check_target, counts, duration, rate_of, usage
from tidegate.runtime.errors import QuantizationError


@pytest.mark.parametrize(
    ("text", "seconds"), [("10ms", 0.01), ("250us", 250e-6), ("0.5s", 0.5), (".5 s", 0.5), ("2s", 2)]
)
def test_a_time_has_a_unit(text: str, seconds: float) -> None:
    assert duration(text, "--hop") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["soon", "0ms", "-1s", "1h", "", "1e-3", "10", "0.5", "160 samples"])
def test_row_50_other_times_are_refused_by_the_name_of_their_option(text: str) -> None:
    """A number without a unit is one of them: another command would take it for samples."""
    with pytest.raises(typer.BadParameter, match=f"--hop is '{text}', wanted a time with its unit, e.g. 10ms"):
        duration(text, "--hop")


def test_a_rate_and_a_hop_say_the_same() -> None:
    assert rate_of("100/s", None) == rate_of("100", None) == rate_of(None, "10ms") == 100
    assert rate_of(None, None) == 0


@pytest.mark.parametrize(("rate", "hop"), [("100/s", "10ms"), ("0/s", None), ("100/min", None)])
def test_two_rates_or_a_wrong_one_are_refused(rate: str, hop: str | None) -> None:
    with pytest.raises(typer.BadParameter, match=rf"--rate is '{rate}', .* wanted --rate 100/s or --hop 10ms"):
        rate_of(rate, hop)


@pytest.mark.parametrize(("text", "numbers"), [("1,4,16", [1, 4, 16]), ("7", [7]), (" 1, 2", [1, 2])])
def test_numbers_have_commas_between_them(text: str, numbers: list[int]) -> None:
    assert counts("--steps", text) == numbers


@pytest.mark.parametrize("text", ["", "1,", "0", "-1", "1;2", "1.5", "two"])
def test_other_texts_are_no_numbers(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"--steps is '{text}', wanted numbers from 1 with commas"):
        counts("--steps", text)


def test_errors_about_options_are_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="no weight matches"), usage():
        raise QuantizationError("no weight matches")
    with pytest.raises(ZeroDivisionError), usage():
        raise ZeroDivisionError


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    check_target(tmp_path / "new.csv", (".npy", ".csv"))
    with pytest.raises(IsADirectoryError, match="is a folder, wanted the name of a file"):
        check_target(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such folder; create it first"):
        check_target(tmp_path / "none" / "new.csv")
    with pytest.raises(typer.BadParameter, match=r"wanted a name that ends in \.npy or \.csv"):
        check_target(tmp_path / "new.txt", (".npy", ".csv"))
