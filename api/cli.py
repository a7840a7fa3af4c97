"""The `tidegate` command. Its subcommands are the modules of `commands`, which import heavy packages when they run."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from tidegate.commands import bench, compile, export, inspect, lift, live, quantize, run, serve, verify  # noqa: A004  commands are named as typed
from tidegate.commands._output import complain
from tidegate.commands._version import version_line
from tidegate.runtime.errors import TidegateError

TRACEBACK_VARIABLE = "TIDEGATE_TRACEBACK"
NO_MEMORY = "there is not enough memory; free some, or use a smaller model or fewer and shorter signals"
COMMANDS = (export, lift, verify, quantize, inspect, run, live, serve, bench, compile)

app = typer.Typer(
    name="tidegate",
    help="Export, quantize and stream recurrent neural networks on small devices.",
    epilog=(
        "\b\nExample:\n"
        "  tidegate export model:recognizer --weights kws.pt --example 1x20x40 \\\n"
        "    --sample-rate 16000 --hop 160 -o kws.onnx\n"
        "  tidegate quantize kws.onnx -o kws.int8.onnx\n"
        "  tidegate run kws.int8.onnx frames.npy -o answers.npy\n"
        "  tidegate bench kws.int8.onnx"
    ),
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help is narrower, and the same in a terminal and in a pipe
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in COMMANDS:
    _name = _module.__name__.rpartition(".")[2]
    app.command(_name, epilog=f"\b\nExample:\n  {_module.EXAMPLE}")(_module.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=_print_version,
            help="Print the version, the engine and the commit, and exit.",
        ),
    ] = False,
) -> None:
    pass


def _open_standard_streams() -> None:
    """Open the standard streams that a supervisor closed: else the next file would get their descriptor, and its bytes.

    Python's own `sys.stdin` and `sys.stdout` stay None, so that a command can say that they are closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  for the process


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    if isinstance(error, TidegateError | OSError):
        return str(error)
    if isinstance(error, MemoryError):
        return NO_MEMORY
    return f"unexpected {type(error).__name__}: {error}; please report it with the traceback: {TRACEBACK_VARIABLE}=1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit. Status: 0 done, 1 failed or a check not passed, 2 wrong usage, 130 interrupted.

    Args:
        arguments: The command line without the program's name; None means that of the process.
    """
    _open_standard_streams()
    try:
        app(args=arguments, prog_name="tidegate")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # one line in place of a traceback
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        complain(_describe(error))
        sys.exit(1)
