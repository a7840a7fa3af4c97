"""The command line as a whole: help, versions, exit statuses, and errors as one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tidegate import cli
from tidegate.commands._version import version_line
from tools.commands import Command, Outcome, assert_refused, assert_wrong_usage

COMMANDS = [module.__name__.rpartition(".")[2] for module in cli.COMMANDS]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, tide: Command) -> None:
    outcome = tide(command, "--help")

    assert outcome.status == 0
    assert f"Example:\n    tidegate {command}" in outcome.out


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=["tidegate", *COMMANDS])
def test_help_fits_eighty_columns(command: list[str], tide: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence of the list of commands is cut off either."""
    monkeypatch.setenv("COLUMNS", "80")

    text = tide(*command, "-h").out

    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in re.sub(r"(?<=[\]}])\.\.\.", "", text)  # of arguments that may come again


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from tidegate import cli
try:
    cli.main(['--help'])
except SystemExit:
    print([name for name in ('numpy', 'onnx', 'rich', 'torch', 'onnxruntime') if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["ru"], ["run"]),
        (["quantize", "--cal"], ["--calibration"]),
        (["bench", "--suite", "re"], ["real"]),
        (["verify", "--l"], ["--limit", "--lookaheads"]),
    ],
)
def test_the_shell_completes_commands_options_and_values(
    typed: list[str],
    completed: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tide: Command,
) -> None:
    monkeypatch.setenv("_TIDEGATE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["tidegate", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))

    assert tide().out.split() == completed


def test_version(tide: Command) -> None:
    assert tide("--version") == Outcome(0, f"{version_line()}\n", "")


def closed(descriptors: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command with some of its standard streams closed, as a supervisor may leave them."""
    script = f'exec "$0" -m tidegate "$@" {descriptors}'
    command = ["sh", "-c", script, sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("descriptors", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-"])
def test_row_51_command_that_needs_no_standard_stream_works_without(descriptors: str, folder: Path) -> None:
    """Without care the new file would get the descriptor of standard error, and the messages of other libraries."""
    done = closed(descriptors, "quantize", folder / "m.onnx", "-o", folder / "new.onnx")

    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "new.onnx").read_bytes() == (folder / "m.int8.onnx").read_bytes()


@pytest.mark.parametrize(
    ("descriptors", "source", "message"),
    [
        ("<&-", "-", "there is no standard input, it is closed; give a file"),
        (">&-", "x.npy", "there is no standard output, it is closed; give -o FILE"),
    ],
)
def test_a_closed_stream_that_is_needed_is_named(descriptors: str, source: str, message: str, folder: Path) -> None:
    done = closed(descriptors, "run", folder / "m.tide", source)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"tidegate: error: {message}\n")


def test_wrong_usage_without_standard_error_has_status_2() -> None:
    assert closed("2>&-", "run", "--bogus").returncode == 2


def test_a_module_is_the_command_too() -> None:
    command = [sys.executable, "-m", "tidegate", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("tidegate ")


def test_an_unknown_command_is_wrong_usage(tide: Command) -> None:
    assert_wrong_usage(tide("bogus"), "No such command 'bogus'")


def test_an_interrupt_has_status_130(tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tidegate.runtime.inspection.inspect_file", interrupted)

    assert tide("inspect", folder / "m.onnx") == Outcome(130, "", "")


def test_an_unexpected_error_is_one_line_too(tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("division\nby zero \x1b[31m")

    monkeypatch.setattr("tidegate.runtime.inspection.inspect_file", fail)

    outcome = tide("inspect", folder / "m.onnx")

    assert_refused(outcome, r"unexpected ZeroDivisionError: division by zero \?\[31m; .* TIDEGATE_TRACEBACK=1")
    monkeypatch.setenv("TIDEGATE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["inspect", "m.onnx"])


def test_a_command_says_that_memory_is_at_an_end(
    tide: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cli, "app", fail)
    said = tide("compile", tmp_path / "m.onnx", "-o", tmp_path / "m.tide")
    way_out = "free some, or use a smaller model or fewer and shorter signals"
    assert (said.status, said.err) == (1, f"tidegate: error: there is not enough memory; {way_out}\n")
