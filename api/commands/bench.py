"""`tidegate bench`: latency, accuracy and footprint, ours and others'; and two such results compared."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._bench_options import refuse_unused
from tidegate.commands._bench_suites import families, streams
from tidegate.commands._options import Chunk, check_target, duration, rate_of
from tidegate.commands._output import save_json, show
from tidegate.runtime.errors import ChunkError

if TYPE_CHECKING:
    from tidegate.benchmarks.measuring.records import Settings
    from tidegate.benchmarks.measuring.regression import Change
    from tidegate.benchmarks.measuring.results import Result, Row
    from tidegate.benchmarks.progress import Progress
    from tidegate.commands._output import Parts

EXAMPLE = (
    "tidegate bench watch.int8.onnx --seconds 10 --html watch.html\n"
    "  tidegate bench --suite cells --peers all --json today.json\n"
    "  tidegate bench compare before.json today.json\n"
    "  tidegate bench watch.int8.onnx --closed --against ../before/.venv/bin/python"
)


class Suite(StrEnum):
    """What is run in place of a file."""

    cells = "cells"
    real = "real"
    families = "families"
    streams = "streams"


def command(
    context: typer.Context,
    what: Annotated[
        list[str] | None, typer.Argument(metavar="FILE | compare A B", help="A streaming ONNX file; or two results.")
    ] = None,
    *,
    suite: Annotated[Suite | None, typer.Option(help="Run a suite in place of a file.")] = None,
    peers: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="all, none, or names with commas; default: onnxruntime, for a suite all."),
    ] = None,
    rate: Annotated[str | None, typer.Option(metavar="RATE", help="Chunks a second: 100/s.")] = None,
    hop: Annotated[str | None, typer.Option(metavar="TIME", help="From chunk to chunk: 10ms.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Call again as soon as an answer is there.")] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Let other work empty the caches between chunks.")] = False,
    inject_stall: Annotated[str | None, typer.Option(metavar="TIME", help="Stand still once: 200ms.")] = None,
    chunk: Chunk = 1,
    cases: Annotated[str | None, typer.Option(metavar="NAMES", help="Cases of a suite, with commas.")] = None,
    steps: Annotated[str, typer.Option(metavar="N,N", help="Frames of a chunk in a suite.")] = "1,4,16",
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Weights and recordings of the suite real.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A .npy signal (frames, features); default: noise.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help="Time of each variant in each process: 2; of the suite streams: 60.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Fresh processes of each variant.")] = 5,
    against: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Run the tidegate of another environment beside, and compare.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure.")] = None,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
    pictures: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the plots as PNG and SVG.")] = None,
) -> None:
    """Measure latency in real time, beside other runtimes on the same stream.

    A chunk is due at the rate of the file's contract, whether or not the one before has been answered (an open loop):
    its latency runs from the instant it was due to its answer, so that a stall counts for every chunk it delayed.
    --closed measures what a call costs. Each runtime runs in processes of its own, in turns on one core.

    `compare` exits with 1 when a row became slower beyond what the intervals explain, and by 5 % at least; so does
    --against, which takes another build's Python and lets both builds run in turns.
    """
    given = what or []
    refuse_unused(context, _kind(given, suite))
    _check_targets(json_file, page)
    if given[:1] == ["compare"]:
        _compare(given[1:], json_file)
        return
    if suite in (Suite.families, Suite.streams):
        with _showing() as progress:
            found = families(progress) if suite is Suite.families else streams(seconds or 60.0, progress)
        found.show(json_file, page, pictures)
        return
    settings = _settings(rate_of(rate, hop), seconds or 2.0, processes, inject_stall, cold=cold, against=against)
    names = _peers(peers, "all" if suite else "onnxruntime")
    if suite is not None:
        result = _suite(suite, settings, names, cases=cases, steps=steps, data=data, closed=closed)
    else:
        result = _file(Path(given[0]), settings, names, source, chunk=chunk, closed=closed)
    _finish(result, json_file, page, pictures)
    if against is not None:
        _builds(result)


def _kind(given: Sequence[str], suite: Suite | None) -> str:
    """Return what is run: `FILE`, `compare`, or a suite."""
    if given[:1] == ["compare"]:
        return "compare"
    if len(given) + (suite is not None) != 1:
        raise typer.BadParameter("wanted a file, --suite NAME, or compare A.json B.json")
    return "FILE" if suite is None else suite.value


def _check_targets(*targets: Path | None) -> None:
    for target in targets:
        if target is not None:
            check_target(target)


def _settings(
    rate: float, seconds: float, processes: int, stall: str | None, *, cold: bool, against: Path | None
) -> "Settings":
    from tidegate.benchmarks.measuring.records import Settings

    if against is not None and not against.is_file():
        raise typer.BadParameter(f"--against {against}: no such interpreter; wanted ENVIRONMENT/bin/python")
    stalled = 0.0 if stall is None else duration(stall)
    other = "" if against is None else str(against.absolute())
    return Settings(rate, seconds, processes, stall=stalled, cold=cold, against=other)


def _file(
    path: Path, settings: "Settings", peers: list[str], source: Path | None, *, chunk: int, closed: bool
) -> "Result":
    from tidegate.benchmarks.bench import bench_file
    from tidegate.commands._signals import read_array

    signal = None if source is None else read_array(source).astype("float32")
    with _showing() as progress, _naming(source):
        return bench_file(
            path, peers, settings, signal=signal, steps=chunk, closed=closed, progress=progress, shown=_show_file
        )


def _suite(
    suite: Suite,
    settings: "Settings",
    peers: list[str],
    *,
    cases: str | None,
    steps: str,
    data: Path | None,
    closed: bool,
) -> "Result":
    from tidegate.benchmarks.bench import CELLS, bench, cell_jobs

    if suite is Suite.real:
        from tidegate.benchmarks.suites.real_models import real_jobs
        from tidegate.benchmarks.tasks.task import DEFAULT_DATA

        jobs = list(real_jobs(data or DEFAULT_DATA))
    else:
        names = list(CELLS) if cases is None else cases.split(",")
        for name in names:
            if name not in CELLS:
                raise typer.BadParameter(f"no case {name!r}; there are {', '.join(CELLS)}")
        jobs = cell_jobs([CELLS[name] for name in names], [int(count) for count in steps.split(",")])
    with _showing() as progress:
        return bench(jobs, peers, settings, closed=closed, progress=progress, shown=_show_case)


def _show_file(rows: "Sequence[Row]") -> None:
    """Print the rows of one file, and what it takes besides time."""
    from tidegate.benchmarks.showing.bench_tables import resources

    _show_case(rows)
    if any(row.p50_us is not None for row in rows):
        show(iter(resources(rows)))


def _show_case(rows: "Sequence[Row]") -> None:
    """Print the rows of one case as soon as they are there."""
    from tidegate.benchmarks.showing.result_page import cases_of

    for _, found in cases_of(rows):
        show(_case(found))


def _compare(files: list[str], json_file: Path | None) -> None:
    from tidegate.benchmarks.measuring.regression import changes
    from tidegate.benchmarks.measuring.results import Result

    if len(files) != 2:
        raise typer.BadParameter(f"compare takes two results, got {len(files)}")
    found = changes(*(Result.read(Path(file)) for file in files))
    if not found:
        raise typer.BadParameter(f"{files[0]} and {files[1]} have no row in common")
    if json_file is not None:
        save_json(json_file, {"changes": [change.to_dict() for change in found]})
    _judge(found)


def _builds(result: "Result") -> None:
    """Compare this build with the one that ran beside it."""
    from tidegate.benchmarks.measuring.regression import builds

    found = builds(result)
    if not found:
        raise typer.BadParameter("--against: the other build has no figures; the lines above say why")
    _judge(found)


def _judge(found: "Sequence[Change]") -> None:
    from tidegate.benchmarks.measuring.regression import regressions, table

    slower = regressions(found)
    show(iter([table(found), f"{len(slower)} of {len(found)} rows slower."]))
    if slower:
        raise typer.Exit(1)


def _peers(asked: str | None, default: str) -> list[str]:
    """Return the peers to run; tidegate always takes part."""
    from tidegate.benchmarks.measuring.harness import installed
    from tidegate.benchmarks.peers import ADAPTERS

    names = asked or default
    if names == "all":
        return list(ADAPTERS)
    others = [] if names == "none" else names.split(",")
    return ["tidegate", *(name for name in others if name != "tidegate" and (asked or name in installed(others)))]


def _finish(result: "Result", json_file: Path | None, page: Path | None, pictures: Path | None) -> None:
    from tidegate.benchmarks.showing.result_page import write_page, write_pictures

    show(_parts(result))
    if json_file is not None:
        result.save(json_file)
    if page is not None:
        write_page(result, page)
    if pictures is not None:
        write_pictures(result, pictures)


def _parts(result: "Result") -> "Parts":
    yield f"Machine: {result.environment.summary()}."
    yield from (f"warning: {text}" for text in result.warnings)


def _case(rows: "Sequence[Row]") -> "Parts":
    from tidegate.benchmarks.showing.bench_tables import latency, refusals

    if any(row.p50_us is not None for row in rows):
        yield latency(rows)
    yield from (f"Left out: {line}." for line in refusals(rows))


@contextmanager
def _showing() -> Iterator["Progress | None"]:
    """Show on standard error what is going on, where that is a terminal."""
    from tidegate.benchmarks.progress import bar

    with bar("measuring") as progress:
        yield progress


@contextmanager
def _naming(source: Path | None) -> Iterator[None]:
    """Let a refused chunk name the file that it came from."""
    try:
        yield
    except ChunkError as error:
        raise ChunkError(f"{source}: {error}" if source else str(error)) from None
