"""`tidegate lift`: makes streaming ONNX from a third-party ONNX file."""

from functools import partial
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
    pair,
)
from tidegate.commands._output import busy, contract_table, print_json, proof_table, show, size

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.export import LiftReport
    from tidegate.runtime.arrays import Array

EXAMPLE = (
    "tidegate lift tagger.onnx -o tagger.stream.onnx\n"
    "  tidegate lift gru.onnx --state h_prev=h_new -o gru.stream.onnx\n"
    "  tidegate lift silero_vad.onnx --set sr=16000 --frame 512 --context 64 \\\n"
    "    --sample-rate 16000 --hop 512 -o vad.stream.onnx\n"
    "  tidegate lift voicefilter.onnx --set dvec=speaker.npy -o filter.stream.onnx"
)


def command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file with recurrent layers.")],
    output: Output,
    *,
    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=OUTPUT",
            help="A state input and the output that feeds it. May be repeated; default: found by names and graph.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="INPUT=VALUE",
            help="An input, or a computed value, that stays the same: a number, or a .npy file of its shape for one "
            "stream. May be repeated.",
        ),
    ] = None,
    static: Static = None,
    frame: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="New values per frame, if the file does not fix the number.")
    ] = None,
    context: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Values of the previous frame that the file needs at the start of each."),
    ] = 0,
    sample_rate: SampleRate = None,
    hop: Hop = None,
    block: Block = None,
    lookahead: Lookahead = 0,
    limit: Limit = None,
    tolerance: Tolerance = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A signal as for `tidegate run`: the answers are compared on it too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make streaming ONNX from a third-party ONNX file.

    States that are hidden in the graph become inputs and outputs. States that are inputs and outputs already are
    paired. The new file is written only if its answers equal the original's: on a whole signal, in chunks, at other
    lengths, and on your data.
    """
    from tidegate.export import lift

    check_target(output, sources=(source, data))
    states = dict([pair("--state", text) for text in state]) if state else None
    values = {name: _value(text, value) for text in setting or () for name, value in [pair("--set", text)]}
    with busy("lifting"):
        report = lift(
            source, output, states=states, values=values, static=static or (), frame=frame, context=context,
            sample_rate=sample_rate, hop=hop, block=block, lookahead=lookahead, limit=limit, tolerance=tolerance,
            data=None if data is None else partial(_signal, data, output),
        )  # fmt: skip
    if as_json:
        from dataclasses import asdict

        print_json(asdict(report))
    else:
        show(_parts(report))


def _signal(data: Path, output: Path, file: bytes) -> "Array":
    """Read the data in the form that the lifted file takes."""
    from tidegate.commands._signal_form import SignalForm
    from tidegate.commands._signals import read_signal

    return read_signal(data, SignalForm.of_bytes(file, output))


def _value(text: str, value: str) -> "float | Array":
    """Return a number, or the array of a .npy file."""
    if value.lower().endswith(".npy"):
        from tidegate.commands._signals import read_array

        return read_array(value)
    try:
        return float(value)
    except ValueError:
        raise typer.BadParameter(f"--set {text!r}: {value!r} is neither a number nor the name of a .npy file") from None


def _parts(report: "LiftReport") -> "Parts":
    """Give the proof, the contract, the changes that were made, and the size of the file."""
    yield proof_table(report.checks)
    yield contract_table(report.contract)
    yield from report.done
    for backend, why in report.refused.items():
        yield f"Not run on {backend}: {why}."
    yield f"{report.path}: {size(report.bytes)}"
    yield from (f"warning: {text}" for text in report.warnings)
