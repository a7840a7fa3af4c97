"""The suite of Node and Chromium: the npm package and onnxruntime-web, one frame a push, and the engine without them.

It needs a checkout, where `npm install` put DRIVER and RIVAL, and ziglang, which builds the engine.
"""

import gzip
import json
import os
import runpy
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.errors import BackendError
from ..measuring.jobs import stack_job
from ..measuring.turns import in_turns, pinned
from ..nets import stacks
from ..nets.whole_nets import amplifier
from ..peers import onnxruntime, tidegate
from ..peers.job import Job, Step, Variant

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "build" / "node" / "node_modules"
ORT = MODULES / "onnxruntime-web" / "dist"
SCRIPT = ROOT / "benchmarks" / "peers" / "browser.mjs"
DRIVER, RIVAL = "puppeteer-core@24.43.1", "onnxruntime-web@1.30.0"
PLACES = ("node", "chromium")
PRECISIONS = ("W8A16", "W8A8", "W4A8")
FLOAT, INT8 = "onnxruntime-web float32", "onnxruntime-web int8"
NATIVE = "native W8A16"  # by `push` of Python
RATE, BLOCK = 44_100, 128  # samples a second, and of a block of Web Audio
NATIVE_PUSHES = 2000  # of a turn
# What each needs to be fetched by a page.
ORT_FILES = ("ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs", "ort.wasm.min.mjs")
APART = ("modules.js", "processor.js", "worker*.js", "worklet.js")  # the module again as text, and the other entries


@dataclass(frozen=True)
class Row:
    """One contender on one case in one place.

    Attributes:
        place: `node`, `chromium`, or `python` for the engine without them.
        contender: Its name and precision.
        case: The name of the case.
        start: Milliseconds from nothing to the first answer, in a fresh process or page; NaN in `python`.
        error: Root mean square difference from the exact answers.
        least: Microseconds a push, the least mean of a turn.
        median: The same, the median of the turns.
    """

    place: str
    contender: str
    case: str
    start: float
    error: float
    least: float
    median: float


def contenders() -> list[dict[str, str]]:
    """Return what `peers/in_turns.mjs` opens."""
    ours = [{"name": f"tidegate {one}", "kind": "tidegate", "precision": one} for one in PRECISIONS]
    files = {FLOAT: "float.onnx", INT8: onnxruntime.QUANTIZED}
    return ours + [{"name": name, "kind": "onnxruntime", "file": file} for name, file in files.items()]


def measure(folder: Path, cases: Sequence[str], turns: int, isa: str) -> list[Row]:
    """Measure all contenders in all places, and the engine with an instruction set before and after.

    Args:
        folder: Where files are made.
        cases: Keys of `stacks.CASES`.
        turns: Turns of each contender.
        isa: The engine's variant that is measured next to them.

    Raises:
        BackendError: A package, Node or Chromium is missing, or fails.
    """
    jobs = {name: _prepared(folder / name, name) for name in cases}
    _place_package(folder, DRIVER, RIVAL)
    rows: list[Row] = []
    with pinned():
        before = {name: _native(job, isa, turns) for name, job in jobs.items()}
        for place in PLACES:
            starts = _in_order([row for one in contenders() for row in _run(place, folder, jobs, [one], 0)])
            timed = _in_order(_run(place, folder, jobs, contenders(), turns))
            rows += [_row(place, row, fresh["start"]) for row, fresh in zip(timed, starts, strict=True)]
        for name, job in jobs.items():
            times = before[name] + _native(job, isa, turns)
            rows.append(Row("python", f"{NATIVE} {isa}", name, np.nan, np.nan, min(times), float(np.median(times))))
    return rows


def _row(place: str, found: dict[str, Any], start: float) -> Row:
    times = found["times"]
    return Row(place, found["contender"], found["case"], start, found["error"], min(times), float(np.median(times)))


@dataclass(frozen=True)
class Worklet:
    """An LSTM 1 -> 32 with a linear layer in an AudioWorklet of Chromium, 44,100 samples a second.

    Attributes:
        block_us: Microseconds that the processor takes for a block of 128 samples, the least mean of turns of 20.
        seconds: How long it then played live.
        blocks: Blocks that were played.
        refused: Blocks whose samples were refused.
        underruns: Events in which the output had no samples, as Chromium tells; None if it tells nothing.
    """

    block_us: float
    seconds: float
    blocks: int
    refused: int
    underruns: int | None

    @property
    def share(self) -> float:
        """The part of a block's deadline that the block takes."""
        return self.block_us / (1e6 * BLOCK / RATE)


def worklet(folder: Path, seconds: float) -> Worklet:
    """Play a tone through the amplifier's net in Chromium.

    Args:
        folder: Where files are made.
        seconds: How long it plays live.

    Raises:
        BackendError: A package, Node or Chromium is missing, or fails.
    """
    _place_package(folder, DRIVER)
    (folder / "amplifier.tide").write_bytes(amplifier())
    seen: dict[str, Any] = _asked("worklet", folder, {"plan": "amplifier.tide", "rate": RATE, "seconds": seconds})
    return Worklet(seen["block"], seen["wall"], seen["blocks"], seen["refused"], seen["underruns"])


def _in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["contender"], row["case"]))


def _prepared(folder: Path, case: str) -> Job:
    """Make the files of a case: the plans, what onnxruntime runs, and signal and answers as plain numbers."""
    job = stack_job(folder, stacks.CASES[case], 1)
    for precision in PRECISIONS:
        tidegate.prepare(job, Variant(precision, "push"))
    onnxruntime.prepare(job, Variant("int8", "run"))
    np.concatenate(job.chunks()).tofile(folder / "signal.f32")
    job.exact().tofile(folder / "exact.f64")
    return job


def _place_package(folder: Path, *needed: str) -> None:
    """Put tidegate's npm package beside the cases, and see that the others are there."""
    for name in needed:
        if not (MODULES / name.partition("@")[0]).is_dir():
            install = f"npm install --prefix {ROOT / 'build' / 'node'} {DRIVER} {RIVAL}"
            raise BackendError(f"the npm package {name} is not installed in this checkout; {install}")
    runpy.run_path(str(ROOT / "bindings" / "npm" / "build.py"))["main"](folder / "package")


def _run(
    place: str, folder: Path, jobs: dict[str, Job], several: Sequence[dict[str, str]], turns: int
) -> list[dict[str, Any]]:
    cases = [
        {"name": name, "folder": name, "features": job.chunks()[0].shape[-1], "contract": job.contract}
        for name, job in jobs.items()
    ]
    rows: list[dict[str, Any]] = _asked(place, folder, {"cases": cases, "contenders": list(several), "turns": turns})
    return rows


def _asked(place: str, folder: Path, job: dict[str, Any]) -> Any:  # noqa: ANN401  JSON
    """Run `peers/browser.mjs` and return what it prints."""
    (folder / "job.json").write_text(json.dumps(job))
    tools = {"CHROMIUM": shutil.which("chromium") or "", "PUPPETEER": str(_puppeteer()), "ORT": str(ORT)}
    command = [shutil.which("node") or "node", str(SCRIPT), place, str(folder)]
    try:
        done = subprocess.run(command, env=os.environ | tools, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise BackendError("node is not installed, wanted it for the benchmark: apt-get install nodejs") from error
    if done.returncode:
        raise BackendError(f"{place} fails, exit status {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


def _puppeteer() -> Path:
    package = MODULES / "puppeteer-core"
    entry: str = json.loads((package / "package.json").read_text())["exports"]["."]["import"]
    return package / entry


def _native(job: Job, isa: str, turns: int) -> list[float]:
    step: Step = tidegate.load(job, Variant("W8A16", f"push {isa}"))
    answer = np.asarray(step(job.chunks()[0]))
    push = tidegate.model(job, Variant("W8A16", f"push {isa}")).stream().push

    def into(frame: Any) -> object:  # noqa: ANN401  an array
        return push(frame, out=answer)

    return [in_turns([into], job.chunks(), NATIVE_PUSHES)[0] for _ in range(max(1, turns // 10))]


def sizes(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Give, for each runtime, the bytes that a page fetches to run a model, plain and gzipped."""
    scripts = [path for path in folder.glob("package/*.js") if not any(path.match(name) for name in APART)]
    files = {
        "tidegate": [folder / "package" / "tidegate.wasm", *scripts],
        "onnxruntime-web": [ORT / one for one in ORT_FILES],
    }
    for name, paths in files.items():
        parts = [path.read_bytes() for path in paths]
        yield name, sum(map(len, parts)), sum(len(gzip.compress(part, 9)) for part in parts)
