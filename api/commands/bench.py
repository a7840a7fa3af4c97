"""`tidegate bench`: the latency of a model."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._options import Chunk, File, Isa, Json, duration
from tidegate.commands._output import print_json, show
from tidegate.runtime.errors import ChunkError

if TYPE_CHECKING:
    from tidegate.benchmarks.comparison import Comparison
    from tidegate.commands._output import Parts

EXAMPLE = "tidegate bench watch.int8.onnx --against onnxruntime --seconds 10"


class Rival(StrEnum):
    """What the engine is measured against."""

    onnxruntime = "onnxruntime"
    none = "none"


def command(
    path: File,
    *,
    against: Annotated[
        Rival | None,
        typer.Option(help="Measured beside the engine; default: onnxruntime if installed."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A .npy signal (frames, features); default: noise.")
    ] = None,
    chunk: Chunk = 1,
    seconds: Annotated[float, typer.Option(min=0.01, help="Time for all contenders together.")] = 5.0,
    calls: Annotated[int | None, typer.Option(min=1, help="Calls of each contender, in place of --seconds.")] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="TIME", help="What an answer may take, e.g. 10ms; default: the contract's.")
    ] = None,
    isa: Isa = None,
    as_json: Json = False,
) -> None:
    """Measure the latency of a model.

    The engine and onnxruntime answer the same stream in turns on one core, each call as soon as the one
    before has ended (a closed loop).
    """
    from tidegate.benchmarks.comparison import compare
    from tidegate.benchmarks.progress import bar
    from tidegate.commands._signals import read_array

    limit = None if deadline is None else duration(deadline)
    wanted = against or (Rival.onnxruntime if find_spec("onnxruntime") else Rival.none)
    rivals = () if wanted is Rival.none else (wanted.value,)
    signal = None if source is None else read_array(source).astype("float32")
    with bar("measuring") as progress, _naming(source):
        comparison = compare(
            path, against=rivals, signal=signal, frames=chunk, calls=calls, seconds=seconds, deadline=limit, isa=isa,
            progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(comparison.to_dict())
    else:
        show(_parts(comparison))


def _parts(comparison: "Comparison") -> "Parts":
    """Give the latencies of a model."""
    from tidegate.benchmarks.tables import latency_table

    yield latency_table(comparison.run)
    chunk = "1 frame" if comparison.frames == 1 else f"{comparison.frames} frames"
    yield (
        f"Chunks of {chunk}, {comparison.signal}, state carried, contenders in turns; "
        f"{comparison.run.clock_us:.2f} us of every time are the clock's own."
    )
    yield f"Machine: {comparison.environment.summary()}."
    yield from (f"Left out: {text}" for text in comparison.remarks)
    yield from (f"warning: {text}" for text in comparison.warnings())


@contextmanager
def _naming(source: Path | None) -> Iterator[None]:
    """Let a refused chunk name the file that it came from."""
    try:
        yield
    except ChunkError as error:
        raise ChunkError(f"{source}: {error}" if source else str(error)) from None
