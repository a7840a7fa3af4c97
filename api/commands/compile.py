"""`tidegate compile`: compiles an ONNX file to a plan."""

import os
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from tidegate.commands._options import Json, Output, check_target, given
from tidegate.commands._output import busy, print_json
from tidegate.runtime.device.chips import NAMES

EXAMPLE = (
    "tidegate compile kws.int8.onnx -o kws.tide\n"
    "  tidegate compile kws.int8.onnx -o kws.c --format c\n"
    "  tidegate compile kws.int8.onnx -o kws.tide --sign KEY.pem --release 7\n"
    "  tidegate compile kws.int8.onnx --target cortex-m4f -o kws/ && make -C kws\n"
    "  tidegate compile wake.int8.onnx gain.int8.onnx --target cortex-m4f -o both/"
)


class Form(StrEnum):
    """The format of the output."""

    plan = "plan"
    c = "c"


def command(
    context: typer.Context,
    sources: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="A streaming ONNX file; for a device several files.")
    ],
    output: Output,
    *,
    form: Annotated[
        Form, typer.Option("--format", help="Write the plan itself, or C source with the plan as a const array.")
    ] = Form.plan,
    target: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Write a folder that builds for a device; one of {', '.join(NAMES)}."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="With --target: name of a model in C, once for each FILE; default: FILE up to the first dot.",
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Also write OUTPUT.sig, signed by a private Ed25519 key (PEM)."),
    ] = None,
    release: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --sign: a number that grows; who loads can refuse older ones.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Compile an ONNX file to a plan.

    The engine loads a plan without onnx. A C program can hold a plan as an array.

    With --target, the output is a folder that needs only the device's compiler. It has the plan as a const array, the
    parts of the engine that the plan needs, a program, a Makefile, and report.json with the sizes of flash and RAM.
    Several files share one engine; the program runs the first. In a folder that is there, files of these names are
    written anew, also if they were changed; others stay.
    """
    if target is not None:
        if "form" in given(context):
            raise typer.BadParameter("--format has no effect with --target")
        if sign is not None:
            raise typer.BadParameter("--sign has no effect with --target; sign the plan alone")
        _compile_for(target, _named(sources, name), output, as_json=as_json)
        return
    if name:
        raise typer.BadParameter("--name has no effect without --target")
    if len(sources) > 1:
        raise typer.BadParameter(f"{len(sources)} files, wanted one without --target; compile each to its own output")
    if sign is None and "release" in given(context):
        raise typer.BadParameter("--release has no effect without --sign")
    _compile(sources[0], output, form, sign, release, as_json=as_json)


def _compile(source: Path, output: Path, form: Form, key: Path | None, release: int, *, as_json: bool) -> None:
    from tidegate import compile_model
    from tidegate import sign as write_signature
    from tidegate.runtime.load import signature_path, signing_key

    check_target(output, (".c",) if form is Form.c else (), (source, key))
    if key is not None:
        check_target(signature_path(output), sources=(source, key))
        signing_key(key)  # refused before anything is written
    count = compile_model(source, output, form.value)
    if key is not None:
        write_signature(output, key, release)
    if as_json:
        print_json({"path": os.fspath(output), "bytes": count})
    else:
        typer.echo(f"{output}: {count} bytes")


def _named(sources: list[Path], names: list[str] | None) -> dict[str, Path]:
    """Return the files by the names of their models in C."""
    from tidegate.runtime.device.compiling import name_of

    names = names or [name_of(source) for source in sources]
    if len(names) != len(sources):
        raise typer.BadParameter(f"{len(names)} times --name, wanted one for each of {len(sources)} files")
    named = dict(zip(names, sources, strict=True))
    if len(named) < len(sources):
        raise typer.BadParameter(f"models are called {', '.join(names)}, wanted different names; give --name for each")
    return named


def _compile_for(target: str, sources: dict[str, Path], output: Path, *, as_json: bool) -> None:
    from tidegate import write_device_folder

    if target not in NAMES:
        raise typer.BadParameter(f"--target is {target!r}, wanted one of {', '.join(NAMES)}")
    if output.exists() and not output.is_dir():
        raise typer.BadParameter(f"{output}: is a file, wanted a folder for --target")
    with busy("compiling"):
        report = write_device_folder(sources, target, output)
    if as_json:
        print_json({"path": os.fspath(output), **asdict(report)})
        return
    flash = f"{report.flash_bytes:,} bytes of flash" if report.flash_bytes else f"{report.plan_bytes:,} bytes of plan"
    typer.echo(f"{output}: {flash}, {report.ram_bytes:,} of RAM, {report.multiply_adds:,} multiply-adds a frame")
    if report.core != target:
        typer.echo(f"{target} runs the code of {report.core}: {', '.join(report.variants)}")
    if report.compiler is None:
        typer.echo(f"the engine's size is unknown: {NAMES[target].compiler} is not installed here", err=True)
