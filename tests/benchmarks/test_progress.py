"""The progress bar stays out of pipes."""

import io

import pytest
from tidegate.benchmarks.progress import bar


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_nothing_is_shown_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)

    with bar("measuring") as progress:
        assert progress is None

    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")

    with bar("measuring") as progress:
        assert progress is not None
        progress(0.5)

    assert "measuring" in stream.getvalue()
    assert capsys.readouterr().out == ""
