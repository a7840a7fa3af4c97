"""The speed and error of the engine compared with onnxruntime's int8 LSTM: `python -m tidegate.benchmarks.speed`.

It measures stacks in a closed loop, as `tidegate bench --closed` does, in the sizes and precisions that have goals. All
contenders of a case take short turns on one core, with batch 1 and the state carried. Each row has its error against a
float64 run of the same stream, so that wrong answers are seen.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..runtime.backends.native import ISA_VARIABLE, default_isa
from ..runtime.errors import BackendError, TidegateError
from .bench import bench, cell_jobs
from .measuring.jobs import FRAMES
from .measuring.records import Settings
from .measuring.results import Result
from .nets import stacks
from .peers.job import Variant
from .progress import Progress, bar
from .showing.speed_tables import PEER, PRECISIONS, render, to_markdown

TURNS = 20  # turns of a process: with short turns, contenders are measured close in time


def measured(
    cases: Sequence[stacks.Case],
    steps: Sequence[int],
    contenders: dict[str, Sequence[Variant]],
    settings: Settings,
    progress: Progress | None = None,
) -> Result:
    """Measure variants of peers on stacks in a closed loop.

    Args:
        cases: The stacks.
        steps: Frames per chunk: each case is measured with each number.
        contenders: The variants of each peer.
        settings: How to measure.
        progress: Called with the fraction done (0 to 1) and a description of the work.

    Raises:
        BackendError: A variant cannot run.
    """
    jobs = cell_jobs(cases, steps)
    result = bench(jobs, list(contenders), settings, closed=True, progress=progress, variants=contenders)
    for row in result.rows:
        if row.refusal:
            raise BackendError(f"{row.name}: {row.refusal}")
    return result


def run(
    cases: Sequence[stacks.Case],
    steps: Sequence[int],
    isa: Sequence[str],
    settings: Settings,
    progress: Progress | None = None,
) -> Result:
    """Measure the engine in each precision and on each instruction set, and onnxruntime's int8 with both calls.

    Args:
        cases: The stacks.
        steps: Frames per call: each case is measured with each number.
        isa: Names of instruction sets.
        settings: How to measure.
        progress: Called with the fraction done (0 to 1) and a description of the work.

    Raises:
        BackendError: onnxruntime is not installed, or the engine does not have an instruction set here.
    """
    ours = [Variant(precision, f"push {name}") for precision in PRECISIONS for name in isa]
    theirs = [Variant("int8", how) for how in ("IOBinding", "run")]
    result = measured(cases, steps, {"tidegate": ours, PEER: theirs}, settings, progress)
    return replace(result, environment=replace(result.environment, isa=tuple(isa)))


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    options = parser(
        "speed",
        "Compare the engine with onnxruntime's int8 LSTM: one core, in turns, batch 1, state carried.",
        "python -m tidegate.benchmarks.speed --cases A,B --steps 1",
    ).parse_args(arguments)
    try:
        with bar("measuring") as progress:
            result = run(options.cases, options.steps, options.isa, settings_of(options), progress)
        if options.json is not None:
            result.save(options.json)
    except (TidegateError, OSError) as error:
        sys.exit(f"speed: error: {error}")
    if options.markdown:
        sys.stdout.write(to_markdown(result))
    else:
        render(result)


def parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    """Return the argument parser of a command that measures stacks.

    Args:
        name: The name of the command's module.
        description: The first paragraph of its help.
        example: A command line, shown at the end of the help.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m tidegate.benchmarks.{name}", description=description, epilog=f"example: {example}"
    )
    names = ", ".join(map(str, stacks.CASES.values()))
    everything = tuple(stacks.CASES.values())
    made.add_argument(
        "--cases",
        type=_cases,
        default=everything,
        metavar="NAMES",
        help=f"stacks to measure, of {names} (default: all)",
    )
    made.add_argument("--steps", type=_counts, default=(1, 16), metavar="N,N", help="frames per call (default: 1,16)")
    made.add_argument(
        "--isa",
        type=_isa,
        default=(default_isa(),),
        metavar="NAMES",
        help=f"instruction sets (default: {ISA_VARIABLE}, or else the best)",
    )
    made.add_argument(
        "--seconds", type=float, default=0.7, help="time of each contender in each process (default: %(default)s)"
    )
    made.add_argument(
        "--processes",
        type=_count,
        default=3,
        metavar="N",
        help="fresh processes of each contender (default: %(default)s)",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a JSON file")
    made.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return made


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options of `parser` ask for."""
    return Settings(seconds=options.seconds, processes=options.processes, turns=TURNS)


def _cases(text: str) -> tuple[stacks.Case, ...]:
    unknown = [name for name in text.split(",") if name not in stacks.CASES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no case {', '.join(unknown)}; there are {', '.join(stacks.CASES)}")
    return tuple(stacks.CASES[name] for name in text.split(","))


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(_count(part) for part in text.split(","))
    if max(counts) > FRAMES // 2:
        raise argparse.ArgumentTypeError(f"at most {FRAMES // 2}: the stream has {FRAMES} frames")
    return counts


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _isa(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    main()
