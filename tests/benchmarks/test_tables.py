"""Tables: no text is lost, and no text can control the terminal."""

import pytest
from tidegate.benchmarks.tables import Table, micro, printable, show


@pytest.mark.parametrize(
    ("value", "text"), [(0.071, "0.07"), (1.29, "1.29"), (10.04, "10.0"), (97.85, "97.8"), (1098.2, "1098")]
)
def test_microseconds_have_about_three_significant_digits(value: float, text: str) -> None:
    assert micro(value) == text


def test_markdown_aligns_text_left_and_numbers_right() -> None:
    table = Table("Times", ["case|", "p50"], [["A", "1.0"]])

    assert table.to_markdown() == "Times:\n\n| case | p50 |\n| --- | ---: |\n| A | 1.0 |"


def test_a_long_name_is_broken_and_not_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "a_very_long_name_of_a_weight_that_does_not_fit_into_forty_columns"

    show(Table("Weights", ["name|", "error"], [[name, "1.234567"]]))

    printed = capsys.readouterr().out
    assert "1.234567" in printed
    assert name in "".join(line[:30].strip() for line in printed.splitlines())


def test_headers_leave_room_for_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If the headers were on one line, they would fill all 50 columns."""
    monkeypatch.setenv("COLUMNS", "50")
    columns = ["|", "resident memory MB", "first answer ms", "file size kB"]

    show(Table("Taken", columns, [["onnxruntime float32", "65.9", "91", "1108"]]))

    printed = capsys.readouterr().out
    assert " onnxruntime float32 " in printed
    assert [line.split() for line in printed.splitlines()[2:5]] == [
        ["resident", "first", "file"],
        ["memory", "answer", "size"],
        ["MB", "ms", "kB"],
    ]


def test_figures_of_eight_columns_are_not_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    figures = ["148439", "0.98834", "10", "0.95647", "39", "must", "115.9"]
    columns = ["|", "bytes", "AUC clean", "changed clean", "AUC noisy", "changed noisy", "goals|", "core s"]

    show(Table("Silero VAD", columns, [["onnxruntime int8", *figures]], whole=True))

    assert capsys.readouterr().out.splitlines()[5].split() == ["onnxruntime", "int8", *figures]


@pytest.mark.parametrize("columns", ["0", "1", "19", "00"])
def test_a_terminal_without_columns_gets_the_usual_ones(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLUMNS=0 is what some supervisors set; nothing was printed then."""
    table = Table("Weights", ["name|", "error"], [["a weight with a long name", "1.234567"]])
    monkeypatch.setenv("COLUMNS", "80")
    show(table, "a sentence that is longer than nineteen columns")
    wanted = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", columns)

    show(table, "a sentence that is longer than nineteen columns")

    assert "1.234567" in wanted
    assert capsys.readouterr().out == wanted


def test_names_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(Table("x", ["name|"], [["\x1b[2Jevil [bold]x[/bold]"]]), "also \x07 here")

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "[bold]x[/bold]" in printed
    assert printable("a\x1bb\n") == "a?b?"
