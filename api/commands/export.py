"""`tidegate export`: exports a PyTorch module as streaming ONNX."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import (
    Block,
    Hop,
    Json,
    Limit,
    Lookahead,
    Output,
    SampleRate,
    Static,
    Tolerance,
    check_target,
    usage,
)
from tidegate.commands._output import busy, contract_table, print_json, proof_table, show, size

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.export import ExportReport

EXAMPLE = (
    "tidegate export model:recognizer --weights watch.safetensors \\\n"
    "    --example 1x20x6 --sample-rate 50 --hop 1 -o watch.onnx\n"
    "  tidegate export model:echo_canceller --example 1x20x5,1x20x4 -o echo.onnx"
)


def command(
    factory: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE.MODULE:FACTORY",
            help="A function or class that returns the torch.nn.Module; or a TorchScript file, .pt or .ts.",
        ),
    ],
    example: Annotated[
        str,
        typer.Option(
            metavar="SIZES",
            help="Shape of an example input, e.g. 1x20x6: batch, frames, features. Further signals, states and static "
            "inputs after commas: 1x20x5,1x20x4,1x8.",
        ),
    ],
    output: Output,
    *,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The module's state_dict: .safetensors, .pt, .pth or .bin.")
    ] = None,
    ids: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The input is token ids from 0 to N - 1; then --example is e.g. 1x20."),
    ] = None,
    sample_rate: SampleRate = None,
    hop: Hop = None,
    block: Block = None,
    lookahead: Lookahead = 0,
    limit: Limit = None,
    static: Static = None,
    tolerance: Tolerance = None,
    as_json: Json = False,
) -> None:
    """Export a PyTorch module as streaming ONNX.

    The file is written only if its answers equal the module's: on the whole example, in chunks, and at other lengths.
    """
    from tidegate.export import example_from_shape, export_model, load_module

    check_target(output, sources=(factory, weights))
    with busy("exporting"):
        with usage():
            sizes = example_from_shape(example, ids)
        module = load_module(factory, weights)
        report = export_model(
            module,
            sizes,
            output,
            sample_rate=sample_rate,
            hop=hop,
            block=block,
            lookahead=lookahead,
            limit=limit,
            static=static or (),
            tolerance=tolerance,
        )
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        show(_parts(report))


def _parts(report: "ExportReport") -> "Parts":
    """Give the proof and the contract of an exported file, and its size."""
    yield proof_table(report.checks)
    yield contract_table(report.contract)
    for output, state in report.folded.items():
        yield f"Output {output} of the module is the state {state}."
    for backend, why in report.refused.items():
        yield f"Not run on {backend}: {why}."
    yield f"{report.path}: {size(report.bytes)}"
