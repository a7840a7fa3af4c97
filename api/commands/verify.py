"""`tidegate verify`: compares a streaming file with its module, or with another file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import File, Json, counts, given
from tidegate.commands._output import busy, print_json, proof_table, show

if TYPE_CHECKING:
    from tidegate.commands._output import Parts
    from tidegate.export import Verification
    from tidegate.export.verifier import Chunks
    from tidegate.runtime.arrays import Array

EXAMPLE = (
    "tidegate verify kws.onnx --against model:recognizer --weights kws.pt\n"
    "  tidegate verify kws.int8.onnx --against kws.onnx --data x.npy --limit 0.02\n"
    "  tidegate verify tagger.onnx --data x.npy --block 16 --lookaheads 0,8,32"
)


NO_EFFECT = {"against": ("block",), "lookaheads": ("against", "weights", "ids", "chunks", "limit")}


def command(
    context: typer.Context,
    path: File,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="The original: package.module:factory, a TorchScript file, or a streaming file."
        ),
    ] = None,
    *,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The state_dict of the factory's module.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A signal as for `tidegate run`, e.g. .npy, .csv or .wav; default: noise."),
    ] = None,
    ids: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Without --data: random token ids from 0 to N - 1.")
    ] = None,
    chunks: Annotated[
        str, typer.Option(metavar="SIZES", help="Frames per chunk; the signal is streamed once with each size.")
    ] = "1,3,17,all",
    limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="E",
            help="Largest error allowed, relative to the largest value; default: 1e-5 or 32 times what float32 "
            "rounding changes, for a quantized file 0.05.",
        ),
    ] = None,
    lookaheads: Annotated[
        str | None,
        typer.Option(
            metavar="FRAMES",
            help="For a bidirectional model: instead compare each lookahead, e.g. 0,8,32, with the whole stream.",
        ),
    ] = None,
    block: Annotated[int, typer.Option(min=1, metavar="N", help="Frames per block, for --lookaheads.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare a streaming file with its module or with another file.

    Both backends stream a signal frame by frame and with each chunk size, and every answer is compared with the
    original's. tidegate's engine must give the same bits with all chunk sizes.

    The exit status is 1 if an error exceeds its limit.
    """
    mode = "against" if lookaheads is None else "lookaheads"
    for name, option in given(context).items():
        if name in NO_EFFECT[mode] or (name == "ids" and data is not None):
            raise typer.BadParameter(f"{option} has no effect with --{'data' if name == 'ids' else mode}")
    if lookaheads is not None:
        _curve(path, data, block, lookaheads, as_json=as_json)
        return
    if against is None:
        raise typer.BadParameter("--against is missing: give the original, or use --lookaheads")
    if weights is not None and ":" not in against:
        raise typer.BadParameter(f"--weights has no effect with {against}; it is for PACKAGE.MODULE:FACTORY")
    from tidegate.export import verify

    sizes = [_size(text) for text in chunks.split(",")]
    signal = None if data is None else _signal(path, data)
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
    """Print, for each lookahead, how well a stream in blocks agrees with the whole stream as one block."""
    from dataclasses import asdict

    from tidegate import lookahead_curve
    from tidegate.benchmarks.tables import Table

    frames = counts("--lookaheads", lookaheads, 0)
    if data is None:
        raise typer.BadParameter("--data is missing: --lookaheads compares answers to a signal of yours")
    with busy("streaming"):
        points = lookahead_curve(path, _signal(path, data), block, frames)
    if as_json:
        print_json({"points": [asdict(point) for point in points]})
        return
    rows = [
        [str(p.lookahead), str(p.wait), f"{p.error:.2e}", f"{p.largest:.2e}", f"{100 * p.agreement:.2f} %"]
        for p in points
    ]
    head = ["lookahead", "waits for", "rms error / rms answer", "largest error / largest answer", "same decision"]
    show(iter([Table(f"Agreement with offline, blocks of {block}", head, rows)]))


def _signal(path: Path, data: Path) -> "Array":
    from tidegate.commands._signal_form import SignalForm
    from tidegate.commands._signals import read_signal

    return read_signal(data, SignalForm.of(path))


def _size(text: str) -> "Chunks":
    if text.strip() == "all":
        return "all"
    if not text.strip().isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--chunks: {text!r} is not a number of frames; wanted e.g. 1,3,17,all")
    return int(text)


def _parts(found: "Verification") -> "Parts":
    """Give the comparisons, the error over time, and the backends that ran the file."""
    from tidegate.benchmarks.tables import Table

    yield proof_table(found.checks)
    if found.over_time:
        rows = [
            [span.output, f"{span.start} to {span.end - 1}", f"{span.largest:.1e}", f"{span.rms:.1e}"]
            for span in found.over_time
        ]
        head = ["output|", "frames", "largest error / largest answer", "rms error / rms answer in these frames"]
        yield Table("Error over time, frame by frame", head, rows)
    yield f"Run on {', '.join(found.backends)}; compared with {found.against}."
    for backend, why in found.refused.items():
        yield f"Not run on {backend}: {why}."
