"""`tidegate compile`: an ONNX file becomes a plan."""

import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from tidegate.commands._options import Json, Output, check_target
from tidegate.commands._output import busy, print_json
from tidegate.runtime.device.targets import TARGETS

EXAMPLE = (
    "tidegate compile kws.int8.onnx -o kws.tide\n"
    "  tidegate compile kws.int8.onnx -o kws.c --format c\n"
    "  tidegate compile kws.int8.onnx --target cortex-m4f -o kws/ && make -C kws"
)


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
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Write a folder that builds for a device: {', '.join(TARGETS)}."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile an ONNX file to a plan.

    The engine loads a plan where onnx is not installed; a C program may hold it as an array. With --target the output
    is a folder that builds with the target's compiler alone: the plan as a const array, the part of the engine that it
    needs, a program, a Makefile, and report.json, what the model takes there.
    """
    if target is not None:
        _compile_for(target, source, output, as_json=as_json)
        return
    from tidegate import compile_model

    check_target(output, (".c",) if form is Form.c else ())
    count = compile_model(source, output, form.value)
    if as_json:
        print_json({"path": os.fspath(output), "bytes": count})
    else:
        typer.echo(f"{output}: {count} bytes")


def _compile_for(target: str, source: Path, output: Path, *, as_json: bool) -> None:
    from tidegate.runtime.device.folder import write_folder
    from tidegate.runtime.load import naming, plan_of

    if target not in TARGETS:
        raise typer.BadParameter(f"--target is {target!r}, wanted one of {', '.join(TARGETS)}")
    if output.exists() and not output.is_dir():
        raise typer.BadParameter(f"{output}: is a file, wanted a folder for --target")
    with busy("compiling"), naming(source):
        report = write_folder(plan_of(source), TARGETS[target], output)
    if as_json:
        print_json({"path": os.fspath(output), **asdict(report)})
        return
    flash = f"{report.flash_bytes:,} bytes of flash" if report.flash_bytes else f"{report.plan_bytes:,} bytes of plan"
    typer.echo(f"{output}: {flash}, {report.ram_bytes:,} of RAM, {report.multiply_adds:,} multiply-adds a frame")
    if report.compiler is None:
        typer.echo(f"the engine's own bytes are not known: {TARGETS[target].compiler} is not installed here", err=True)
