"""`tidegate compile`: an ONNX file becomes a plan."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from tidegate.commands._options import Json, Output, check_target
from tidegate.commands._output import print_json

EXAMPLE = "tidegate compile kws.int8.onnx -o kws.tide\n  tidegate compile kws.int8.onnx -o kws.c --format c"


class Form(StrEnum):
    """How a plan is written."""

    plan = "plan"
    c = "c"


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A streaming ONNX file.")],
    output: Output,
    form: Annotated[
        Form, typer.Option("--format", help="The plan itself, or C source that holds it as a const array.")
    ] = Form.plan,
    as_json: Json = False,
) -> None:
    """Compile an ONNX file to a plan.

    The engine loads a plan where onnx is not installed; a C program may hold it as an array.
    """
    from tidegate import compile_model

    check_target(output, (".c",) if form is Form.c else ())
    count = compile_model(source, output, form.value)
    if as_json:
        print_json({"path": os.fspath(output), "bytes": count})
    else:
        typer.echo(f"{output}: {count} bytes")
