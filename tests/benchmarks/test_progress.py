"""The progress bar: a terminal gets it, a pipe does not."""

import io

import pytest
from tidegate.benchmarks.progress import bar


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
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
