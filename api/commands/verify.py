"""`tidegate verify`: a file held against its module, or against another file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import File, Json
from tidegate.commands._output import busy, print_json, proof_table, show

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.export import Verification
    from tidegate.export.verifier import Chunks

EXAMPLE = (
    "tidegate verify kws.onnx --against model:recognizer --weights kws.pt\n"
    "  tidegate verify kws.int8.onnx --against kws.onnx --data x.npy --limit 0.02\n"
    "  tidegate verify tagger.onnx --data x.npy --block 16 --lookaheads 0,8,32"
)


def command(
    path: File,
    against: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="package.module:factory, a TorchScript file, or another streaming file."),
    ] = None,
    *,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="The state_dict of a factory's module.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .npy signal (frames, features), or ids (frames); default: noise."),
    ] = None,
    ids: Annotated[int | None, typer.Option(min=1, metavar="N", help="Noise of token ids, from 0 to N - 1.")] = None,
    chunks: Annotated[str, typer.Option(metavar="SIZES", help="Frames a push, with commas between.")] = "1,3,17,all",
    limit: Annotated[
        float | None,
        typer.Option(min=0, help="Largest error relative to the largest value; default: 1e-5, quantized 0.05."),
    ] = None,
    lookaheads: Annotated[
        str | None,
        typer.Option(
            metavar="FRAMES", help="Of a bidirectional model: how well each agrees with offline, e.g. 0,8,32."
        ),
    ] = None,
    block: Annotated[int, typer.Option(min=1, metavar="N", help="Frames of a block, for --lookaheads.")] = 1,
    as_json: Json = False,
) -> None:
    """Hold a streaming file against its module or another file.

    Both backends stream the signal in chunks of each size; tidegate's engine must give the same bits for all of them.
    The exit status is 1 when an error passes its limit.
    """
    if lookaheads is not None:
        _curve(path, data, block, lookaheads, as_json=as_json)
        return
    if against is None:
        raise typer.BadParameter("--against or --lookaheads is missing: wanted what to hold the file against")
    from tidegate.commands._signals import read_array
    from tidegate.export import verify

    sizes = [_size(text) for text in chunks.split(",")]
    signal = None if data is None else read_array(data, ids=True)
    with busy("verifying"):
        found = verify(path, against, weights=weights, data=signal, ids=ids, chunks=sizes, limit=limit)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(found) | {"passed": found.passed})
    else:
        show(_parts(found))
    if not found.passed:
        raise typer.Exit(1)


def _curve(path: Path, data: Path | None, block: int, lookaheads: str, *, as_json: bool) -> None:
    """Print how well a stream in blocks agrees with offline for each lookahead."""
    from dataclasses import asdict

    from tidegate.benchmarks.tables import Table
    from tidegate.commands._signals import read_array
    from tidegate.runtime.lookahead_curve import lookahead_curve

    if data is None or not all(text.strip().isdecimal() for text in lookaheads.split(",")):
        raise typer.BadParameter(
            f"--lookaheads: {lookaheads!r} and --data {data}; wanted frames, e.g. 0,8,32, and a .npy"
        )
    with busy("streaming"):
        points = lookahead_curve(path, read_array(data, ids=True), block, [int(text) for text in lookaheads.split(",")])
    if as_json:
        print_json({"points": [asdict(point) for point in points]})
        return
    rows = [
        [str(p.lookahead), str(p.wait), f"{p.error:.2e}", f"{p.largest:.2e}", f"{100 * p.agreement:.2f} %"]
        for p in points
    ]
    head = ["lookahead", "waits for", "rms error", "largest", "same decision"]
    show(iter([Table(f"Agreement with offline, blocks of {block}", head, rows)]))


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
