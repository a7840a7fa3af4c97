"""`tidegate verify`: a file held against its module, or against another file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import File, Json
from tidegate.commands._output import busy, print_json, proof_table, show

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.export import Verification
    from tidegate.export.verification import Chunks

EXAMPLE = (
    "tidegate verify kws.onnx --against model:recognizer --weights kws.pt\n"
    "  tidegate verify kws.int8.onnx --against kws.onnx --data x.npy --limit 0.02"
)


def command(
    path: File,
    against: Annotated[
        str,
        typer.Option(metavar="WHAT", help="package.module:factory, a TorchScript file, or another streaming file."),
    ],
    *,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="The state_dict of a factory's module.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .npy signal (frames, features); default: noise.")
    ] = None,
    ids: Annotated[int | None, typer.Option(min=1, metavar="N", help="Noise of token ids, from 0 to N - 1.")] = None,
    chunks: Annotated[str, typer.Option(metavar="SIZES", help="Frames a push, with commas between.")] = "1,3,17,all",
    limit: Annotated[
        float | None,
        typer.Option(min=0, help="Largest error relative to the largest value; default: 1e-5, quantized 0.05."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold a streaming file against its module or another file.

    Both backends stream the signal in chunks of each size; tidegate's engine must give the same bits for all of them.
    The exit status is 1 when an error passes its limit.
    """
    from tidegate.commands._signals import read_array
    from tidegate.export import verify

    sizes = [_size(text) for text in chunks.split(",")]
    signal = None if data is None else read_array(data).astype("float32")
    with busy("verifying"):
        found = verify(path, against, weights=weights, data=signal, ids=ids, chunks=sizes, limit=limit)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(found) | {"passed": found.passed})
    else:
        show(_parts(found))
    if not found.passed:
        raise typer.Exit(1)


def _size(text: str) -> "Chunks":
    if text.strip() == "all":
        return "all"
    if not text.strip().isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--chunks: {text!r} is not a number of frames; wanted e.g. 1,3,17,all")
    return int(text)


def _parts(found: "Verification") -> "Parts":
    """Give the comparisons, the error over time and who ran it."""
    from tidegate.benchmarks.tables import Table

    yield proof_table(found.checks)
    if found.over_time:
        rows = [
            [span.output, f"{span.start} to {span.end - 1}", f"{span.largest:.1e}", f"{span.mean:.1e}"]
            for span in found.over_time
        ]
        yield Table("Error over time, frame by frame", ["output|", "frames", "largest", "mean"], rows)
    yield f"Run on {', '.join(found.backends)}; held against {found.against}."
    for backend, why in found.refused.items():
        yield f"Not run on {backend}: {why}."
