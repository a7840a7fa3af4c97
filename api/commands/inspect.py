"""`tidegate inspect`: shows what a model file holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import File, Json, check_target
from tidegate.commands._output import contract_table, print_json, show, size

if TYPE_CHECKING:
    from tidegate import Inspection
    from tidegate.commands._output import Parts
    from tidegate.runtime.inspection import RecurrentLayer

EXAMPLE = "tidegate inspect kws.int8.onnx\n  tidegate inspect kws.int8.onnx --svg kws.svg"


def command(
    path: File,
    *,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw how states are carried, as .svg or .png.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a model's contract, recurrent layers and backend.

    If the engine cannot run the file, the output says which operator is the reason.
    """
    from tidegate import inspect_file

    if svg is not None:
        check_target(svg, (".svg", ".png"))
    facts = inspect_file(path)
    if svg is not None:
        from tidegate.commands._state_picture import save

        save(facts, svg)
    if as_json:
        print_json(facts.to_dict())
    else:
        show(_parts(facts))


def _parts(facts: "Inspection") -> "Parts":
    """Give the tables and sentences about a model file."""
    from tidegate.benchmarks.tables import Table

    yield f"{facts.path}: {'compiled plan' if facts.kind == 'plan' else 'ONNX'}, {size(facts.bytes)}"
    if facts.contract is not None:
        yield contract_table(facts.contract)
    columns = ["recurrent layer|", "cell|", "in -> units", "W, R", "bytes", "products"]
    title = "Layers: precisions of W and R, with the bits of their inputs; products are multiply-adds per step"
    yield Table(title, columns, [_layer_row(layer) for layer in facts.layers])
    yield f"Runs on: {facts.backend or 'nothing'}"
    if facts.refusal:
        yield f"Not on the engine: {facts.refusal}"


def _layer_row(layer: "RecurrentLayer") -> list[str]:
    cell = layer.cell if layer.direction == "forward" else f"{layer.cell} {layer.direction}"
    cell = f"{cell}, integer" if layer.arithmetic == "integer" else cell
    sizes = f"{_known(layer.features)} -> {layer.hidden}"
    return [layer.name, cell, sizes, _precisions(layer), str(layer.bytes), _known(layer.multiply_adds)]


def _precisions(layer: "RecurrentLayer") -> str:
    """Return the precisions of W and R, such as `W4A15g32, float32`; without A if the engine does not run the file."""
    if layer.weight_bits is None or layer.groups is None:
        return "-"
    read = layer.activation_bits or (0, 0)
    parts = zip(layer.weight_bits, layer.groups, read, strict=True)
    return ", ".join(
        "float32" if bits == 32 else f"W{bits}{f'A{most}' if most else ''}{f'g{group}' if group else ''}"
        for bits, group, most in parts
    )


def _known(value: object) -> str:
    return "-" if value is None else str(value)
