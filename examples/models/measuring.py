"""What a model of the gallery gives: the three commands are run as a user runs them, then its answers are compared."""

import hashlib
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import tidegate as tg
from numpy.typing import NDArray
from signals import Stream
from table import Model

LONGEST = 300  # seconds a command may take


@dataclass(frozen=True)
class Figures:
    """What was measured of a model.

    Attributes:
        float_error: The largest error of the float file, relative to the largest value of the original's answers;
            None if there is no float file.
        int8_error: The same of the quantized file.
        frames: Frames that were compared, of all streams.
        median_us: Median microseconds per frame of the quantized file.
        p99_us: The 99th percentile, likewise.
        share: The median as a share of the time between two frames; None: the input has no rate.
        plan_bytes: Bytes of the quantized plan.
        state_bytes: Bytes of the states of a stream.
        machine: The processor, the engine's variant, the core it was pinned to, and the date.
    """

    float_error: float | None
    int8_error: float
    frames: int
    median_us: float
    p99_us: float
    share: float | None
    plan_bytes: int
    state_bytes: int
    machine: str


class NotMeasuredError(Exception):
    """A model does not stream yet, or a command failed; the message says why."""


class FilesError(Exception):
    """The files of a model are not there, or are others; the message says what to do."""


def check(model: Model, folder: Path) -> None:
    """Compare the SHA-256 of the fetched files with the table.

    Raises:
        FilesError: A file is missing or has another hash.
    """
    if missing := missing_files(model, folder):
        raise FilesError(f"no files/{missing[0]}; fetch it: {' && '.join(model.fetching)}")
    for file in model.file:
        found = hashlib.sha256((folder / "files" / file.name).read_bytes()).hexdigest()
        if found != file.sha256:
            raise FilesError(f"files/{file.name} has SHA-256 {found}, wanted {file.sha256}: fetch it again")


def missing_files(model: Model, folder: Path) -> list[str]:
    """Return the names of the files that a model needs and that are not there."""
    return [name for name in model.needed if not (folder / "files" / name).is_file()]


def fetch(model: Model, folder: Path) -> None:
    """Run the commands that fetch the files of a model, if one of them is missing.

    Raises:
        FilesError: A command failed.
    """
    if missing_files(model, folder):
        for command in model.fetching:
            try:
                run(command, folder)
            except (NotMeasuredError, OSError) as error:
                raise FilesError(f"{command}: {error}") from error


def run(command: str, folder: Path) -> None:
    """Run a command line in a folder, with the programs of this Python's environment first.

    Raises:
        NotMeasuredError: It failed (the message is the line of its error), or did not end within LONGEST seconds.
    """
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        done = subprocess.run(  # noqa: S603  the commands of the table
            shlex.split(command),
            cwd=folder,
            env=os.environ | {"PATH": programs},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotMeasuredError(f"no end within {LONGEST} seconds: {command}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        refused = next((line for line in said if line.startswith("tidegate: error: ")), said[-1])
        raise NotMeasuredError(refused.removeprefix("tidegate: error: ").removeprefix("Error: "))


def measure(model: Model, folder: Path, show: Callable[[str], None]) -> Figures:
    """Run the three commands of a model in a folder, compare its answers, and return the figures.

    Args:
        model: The model.
        folder: The folder of the gallery, with the fetched files in its folder `files`.
        show: Called with the text of each step, ahead of it.

    Raises:
        FilesError: A file is missing or has another hash.
        NotMeasuredError: A command or the engine says no.
    """
    check(model, folder)
    *making, timing = model.commands
    for command in making:
        show(command)
        run(command, folder)
    show("compare with the original")
    plan = folder / "files" / f"{model.name}.tide"
    try:
        floats, codes = (tg.load(folder / name) for name in (model.streaming, model.quantized))
        tg.compile_model(folder / model.quantized, plan)
    except tg.TidegateError as error:
        raise NotMeasuredError(str(error).replace(f"{folder}{os.sep}", "")) from error
    streams = streams_of(model, folder)
    errors = [error_of(running, streams) for running in (floats, codes)]
    show(timing)
    run(timing, folder)
    median, tail, measured_on = times(model, folder)
    return Figures(
        float_error=None if model.codes else errors[0],
        int8_error=errors[1],
        frames=sum(len(stream.frames) for stream in streams),
        median_us=median,
        p99_us=tail,
        share=median * 1e-6 * model.sample_rate / model.hop if model.sample_rate else None,
        plan_bytes=plan.stat().st_size,
        state_bytes=sum(state_bytes(state.shape) for state in codes.contract.states),
        machine=measured_on,
    )


def times(model: Model, folder: Path) -> tuple[float, float, str]:
    """Return the median and the 99th percentile in microseconds per frame, and the machine, from what bench wrote.

    Raises:
        NotMeasuredError: Nothing was measured.
    """
    written = json.loads((folder / model.timed).read_text(encoding="utf-8"))
    row = written["rows"][0]
    if row["p50_us"] is None:
        raise NotMeasuredError(f"no time: {'; '.join(row['reasons'].values())}")
    return row["p50_us"] / model.chunk, row["p99_us"] / model.chunk, machine(written["environment"])


def state_bytes(shape: Sequence[int | str]) -> int:
    """Return the bytes of a state for one stream; a size with a name is the batch."""
    return 4 * math.prod(size for size in shape if isinstance(size, int))


def machine(environment: dict[str, object]) -> str:
    """Return what the times were measured on, from the JSON of `tidegate bench`."""
    variants = environment["isa"]
    shown = variants[0] if isinstance(variants, list) else variants
    return f"{environment['processor']}, {shown}, pinned to core {environment['core']}, {str(environment['date'])[:10]}"


def streams_of(model: Model, folder: Path) -> list[Stream]:
    """Return the signals of a model and the original's answers, computed in the folder of the gallery."""
    module, _, function = model.reference.partition(":")
    before = Path.cwd()
    os.chdir(folder)
    try:
        made: list[Stream] = getattr(import_module(module), function)(**model.options)
    finally:
        os.chdir(before)
    return made


def error_of(model: tg.Model, streams: list[Stream]) -> float:
    """Return the largest error of a model over all streams, relative to the largest value of the original's answers.

    Raises:
        NotMeasuredError: The answers of a stream do not have the sizes of the original's.
    """
    worst = largest = 0.0
    for stream in streams:
        seen = pushed(model, stream)
        if seen.size != stream.answers.size:
            raise NotMeasuredError(f"{seen.size} values for a stream, the original has {stream.answers.size}")
        worst = max(worst, float(np.abs(seen.reshape(-1) - stream.answers.reshape(-1)).max()))
        largest = max(largest, float(np.abs(stream.answers).max()))
    return worst / largest


def pushed(model: tg.Model, stream: Stream) -> NDArray[np.float32]:
    """Return the answers of a model to a stream: all of them, or the last one."""
    running = model.stream(state=stream.start or None)
    parts = [running.push(stream.frames), running.finish()]
    answers = [part[stream.output] if isinstance(part, dict) else part for part in parts if part is not None]
    return np.asarray(answers[-1]) if stream.last else np.concatenate([np.asarray(part) for part in answers])
