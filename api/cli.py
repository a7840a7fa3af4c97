"""The `tidegate` command: its subcommands stand in `commands`, what is heavy is imported inside them."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from tidegate import __version__
from tidegate.commands import bench, compile, export, inspect, lift, quantize, run, verify  # noqa: A004  commands are named as typed
from tidegate.commands._output import complain
from tidegate.runtime.errors import TidegateError

TRACEBACK_VARIABLE = "TIDEGATE_TRACEBACK"
COMMANDS = (export, lift, verify, quantize, inspect, run, bench, compile)

app = typer.Typer(
    name="tidegate",
    help="Export, quantize and stream recurrent neural networks on small devices.",
    epilog="\b\nExample:\n  tidegate quantize kws.onnx -o kws.int8.onnx\n  tidegate bench kws.int8.onnx",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: narrower, and the same in a pipe
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _module in COMMANDS:
    _name = _module.__name__.rpartition(".")[2]
    app.command(_name, epilog=f"\b\nExample:\n  {_module.EXAMPLE}")(_module.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tidegate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    if isinstance(error, TidegateError | OSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}; {TRACEBACK_VARIABLE}=1 shows where; please report it"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 failed or not so, 2 wrong usage, 130 interrupted."""
    try:
        app(args=arguments, prog_name="tidegate")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # the command line never answers with a traceback
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        complain(_describe(error))
        sys.exit(1)
