"""`tidegate lift`: an ONNX file of others becomes streaming ONNX."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Json, Output, check_target
from tidegate.commands._output import busy, contract_table, print_json, proof_table, show, size

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.export import LiftReport

EXAMPLE = (
    "tidegate lift vendor.onnx -o vendor.stream.onnx\n"
    "  tidegate lift gru.onnx --state h_prev=h_new -o gru.stream.onnx\n"
    "  tidegate lift silero_vad.onnx --set sr=16000 --frame 512 --context 64 \\\n"
    "    --sample-rate 16000 --hop 512 -o vad.stream.onnx"
)


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file with recurrent layers.")],
    output: Output,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=OUTPUT",
            help="Which output feeds which state input; may be repeated. Default: names and the graph decide.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="INPUT=NUMBER", help="An input that stays the same; may be repeated."),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="New values of a frame, where the file leaves them open.")
    ] = None,
    context: Annotated[
        int, typer.Option(min=0, metavar="N", help="Values of the frame before that the file wants in front of each.")
    ] = 0,
    sample_rate: Annotated[float | None, typer.Option(metavar="HZ", help="Samples a second of the signal.")] = None,
    hop: Annotated[int | None, typer.Option(metavar="N", help="Samples that a frame advances.")] = None,
    tolerance: Annotated[float, typer.Option(help="Largest relative error allowed in the proof.")] = 1e-5,
    as_json: Json = False,
) -> None:
    """Lift the states of an ONNX file of others.

    States that are hidden in the graph become inputs and outputs; those that are there already are paired. The file is
    written only after it has proved equal to the one that it came from: whole, in chunks, at other lengths.
    """
    from tidegate.export import lift

    check_target(output)
    states = dict([_pair("--state", text) for text in state]) if state else None
    values = {name: _number(text, value) for text in setting or () for name, value in [_pair("--set", text)]}
    with busy("lifting"):
        report = lift(
            source, output, states=states, values=values, frame=frame, context=context, sample_rate=sample_rate,
            hop=hop, tolerance=tolerance,
        )  # fmt: skip
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        show(_parts(report))


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise typer.BadParameter(f"{option} {text!r}: wanted NAME=VALUE")
    return name, value


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"--set {text!r}: {value!r} is not a number") from None


def _parts(report: "LiftReport") -> "Parts":
    """Give the proof, the contract and what was done."""
    yield proof_table(report.checks)
    yield contract_table(report.contract)
    yield from report.done
    for output, state in report.folded.items():
        yield f"Output {output} of the file is the state {state}."
    yield f"{report.path}: {size(report.bytes)}"
