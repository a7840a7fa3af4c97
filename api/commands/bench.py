"""`tidegate bench`: measures latency, accuracy and footprint of models on peers, and compares two results."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tidegate.commands._bench_options import refuse_unused
from tidegate.commands._bench_suites import families, streams
from tidegate.commands._options import Chunk, check_targets, counts, duration, rate_of
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
    "  tidegate bench --compare before.json today.json\n"
    "  tidegate bench watch.int8.onnx --closed --against ../before/.venv/bin/python"
)


class Suite(StrEnum):
    """The suites that can be measured in place of a file."""

    cells = "cells"
    real = "real"
    families = "families"
    streams = "streams"


def command(
    context: typer.Context,
    what: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="A streaming ONNX file or plan; with --compare two JSON results."),
    ] = None,
    *,
    suite: Annotated[Suite | None, typer.Option(help="Measure a suite in place of a file.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare two JSON results: FILE FILE, the earlier one first.")
    ] = False,
    peers: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Other runtimes: all, none, or names separated by commas; default: onnxruntime, for a suite all.",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="Chunks per second, e.g. 100/s; default: from the file's contract."),
    ] = None,
    hop: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="In place of --rate: time between two chunks, with its unit, e.g. 10ms."),
    ] = None,
    closed: Annotated[
        bool, typer.Option("--closed", help="Send the next chunk as soon as the answer is there: the cost of a call.")
    ] = False,
    cold: Annotated[bool, typer.Option("--cold", help="Empty the caches between chunks, as other work does.")] = False,
    inject_stall: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop everything once, e.g. for 200ms, to see the effect.")
    ] = None,
    chunk: Chunk = 1,
    cases: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="For the suite cells: cases separated by commas; default: all."),
    ] = None,
    steps: Annotated[str, typer.Option(metavar="N,N", help="For the suite cells: frames per chunk.")] = "1,4,16",
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For the suite real: the folder of weights and recordings.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A signal as for `tidegate run`; default: noise.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01, metavar="S", help="Time of each variant in each process; default: 2, for the suite streams 60."
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, metavar="N", help="Fresh processes of each variant.")] = 5,
    against: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="Also measure the tidegate of another environment, and compare."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures as JSON.")] = None,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
    pictures: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the plots as PNG and SVG.")] = None,
) -> None:
    """Measure a model's latency, next to other runtimes.

    By default a chunk is due at the rate of the file's contract, even if the chunk before is not yet answered (an open
    loop). The latency of a chunk is the time from when it is due to its answer. So a stall counts for every chunk that
    it delays. Each runtime has its own processes; all take turns on one core.

    --compare compares two JSON results, and says if they are of two machines. --against compares with the tidegate of
    another environment in one run, which finds smaller differences. Both exit with status 1 if a row became slower by
    at least 5 % and by more than the intervals explain.

    The suites: cells has stacks of recurrent layers, real has real models at their own rates, families compares
    recurrent nets with a Transformer, and streams finds how many streams one core can serve.
    """
    given = what or []
    refuse_unused(context, _kind(given, suite, compare=compare))
    check_targets((json_file, page), sources=(*given, source))
    if compare:
        _compare(given, json_file)
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
        result = _file(given[0], settings, names, source, chunk=chunk, closed=closed)
    _finish(result, json_file, page, pictures)
    if against is not None:
        _builds(result)


def _kind(given: Sequence[Path], suite: Suite | None, *, compare: bool) -> str:
    """Return what is measured: `FILE`, `--compare`, or the name of a suite."""
    if compare:
        return "--compare"
    if len(given) + (suite is not None) != 1:
        raise typer.BadParameter("wanted a file, --suite NAME, or --compare A.json B.json")
    return "FILE" if suite is None else suite.value


def _settings(
    rate: float, seconds: float, processes: int, stall: str | None, *, cold: bool, against: Path | None
) -> "Settings":
    from tidegate.benchmarks.measuring.records import Settings

    if against is not None and not against.is_file():
        raise typer.BadParameter(f"--against is {against}: no such interpreter; wanted ENVIRONMENT/bin/python")
    stalled = 0.0 if stall is None else duration(stall, "--inject-stall")
    other = "" if against is None else str(against.absolute())
    return Settings(rate, seconds, processes, stall=stalled, cold=cold, against=other)


def _file(
    path: Path, settings: "Settings", peers: list[str], source: Path | None, *, chunk: int, closed: bool
) -> "Result":
    from tidegate.benchmarks.bench import bench_file
    from tidegate.commands._signal_form import SignalForm
    from tidegate.commands._signals import read_signal

    signal = None if source is None else read_signal(source, SignalForm.of(path))
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
                raise typer.BadParameter(f"there is no case {name!r}, wanted {', '.join(CELLS)}")
        jobs = cell_jobs([CELLS[name] for name in names], counts("--steps", steps))
    with _showing() as progress:
        return bench(jobs, peers, settings, closed=closed, progress=progress, shown=_show_case)


def _show_file(rows: "Sequence[Row]") -> None:
    """Print the rows of one file, and the tables of its start and resources."""
    from tidegate.benchmarks.showing.bench_tables import resources

    _show_case(rows)
    if any(row.p50_us is not None for row in rows):
        show(iter(resources(rows)))


def _show_case(rows: "Sequence[Row]") -> None:
    """Print the rows of one case as soon as they are there."""
    from tidegate.benchmarks.showing.result_page import cases_of

    for _, found in cases_of(rows):
        show(_case(found))


def _compare(files: Sequence[Path], json_file: Path | None) -> None:
    from tidegate.benchmarks.measuring.regression import changes
    from tidegate.benchmarks.measuring.results import Result

    if len(files) != 2:
        raise typer.BadParameter(f"--compare takes two results, {len(files)} given; wanted --compare A.json B.json")
    before, after = map(Result.read, files)
    found = changes(before, after)
    if not found:
        raise typer.BadParameter(f"{files[0]} and {files[1]} have no row in common")
    if json_file is not None:
        save_json(json_file, {"changes": [change.to_dict() for change in found]})
    _judge(found, before.environment.unlike(after.environment))


def _builds(result: "Result") -> None:
    """Compare this build with the other build of the same run."""
    from tidegate.benchmarks.measuring.regression import builds

    found = builds(result)
    if not found:
        raise typer.BadParameter("--against: the other build has no figures; the lines above say why")
    _judge(found)


def _judge(found: "Sequence[Change]", doubts: Sequence[str] = ()) -> None:
    from tidegate.benchmarks.measuring.regression import regressions, table

    slower = regressions(found)
    show(iter([table(found), *doubts, f"{len(slower)} of {len(found)} rows slower."]))
    if slower:
        raise typer.Exit(1)


def _peers(asked: str | None, default: str) -> list[str]:
    """Return the peers to measure; tidegate is always among them."""
    from tidegate.benchmarks.measuring.harness import installed
    from tidegate.benchmarks.peers import ADAPTERS

    names = asked or default
    if names == "all":
        return list(ADAPTERS)
    others = [] if names == "none" else names.split(",")
    for name in others:
        if name not in ADAPTERS:
            raise typer.BadParameter(f"peer {name!r} is unknown; there are {', '.join(ADAPTERS)}")
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
    """Show progress on standard error, if standard error is a terminal."""
    from tidegate.benchmarks.progress import bar

    with bar("measuring") as progress:
        yield progress


@contextmanager
def _naming(source: Path | None) -> Iterator[None]:
    """Add the name of the signal's file to an error about a chunk."""
    try:
        yield
    except ChunkError as error:
        raise ChunkError(f"{source}: {error}" if source else str(error)) from None
