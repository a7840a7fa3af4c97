"""Fuzz the two inputs that may come from strangers: plans and snapshots.

    python tests/fuzzing/fuzz.py --target plan --executions 10000000

(`make fuzz`) builds the target with clang's libFuzzer and the address and undefined-behaviour sanitizers. It starts
from the corpus next to this file and adds the inputs that reached new code. Each run gets a line in docs/fuzzing.md.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from fuzzing.plans import late, reference_plans  # noqa: E402
from kernels.building import engine_with, require, run  # noqa: E402
from tidegate.runtime import _kernels  # noqa: E402

TARGETS = ("plan", "snapshot")
LEDGER = ROOT / "docs" / "fuzzing.md"
FINDINGS = ROOT / "build" / "findings"
LONGEST = {"plan": 5000, "snapshot": 2000}  # bytes per input
SNAPSHOT_OF = (
    "late"  # the name of a plan; its streams hold frames back, so the size of a snapshot depends on its counter
)
MOST_KEPT = 200  # files in a corpus
HANG_SECONDS, MOST_MEGABYTES = 120, 512  # wall time, because on a busy machine a process waits

PLAIN = ["-std=gnu11", "-g1", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
SANITIZED = [
    "-fsanitize=address,undefined,float-cast-overflow",  # a division by zero leaves the range: refused
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
    "-DTIDE_RED_ZONES",
]
# Coverage only in the files that decide on the input; in the others its bookkeeping takes nine tenths of the time.
COVERED = ["-fsanitize=fuzzer-no-link"]
COVERED_BRANCHES = [*COVERED, "-fno-sanitize-coverage=trace-cmp"]


# ---- building ----


def flags_of(source: Path) -> list[str]:
    """Return the compiler flags of a source file."""
    if source.name == "hash.c":  # it takes a third of the time and has no branches; make sanitize checks it
        return ["-O3"]
    if source.parent.name == "variants":  # with optimization one file takes two minutes to compile
        return [*SANITIZED, "-O0"]
    if source.name.startswith(("check_", "plan", "snapshot")):
        return [*SANITIZED, *COVERED, "-O2"]
    return [*SANITIZED, *(COVERED_BRANCHES if source.parent.name == "operators" else []), "-O2"]


def build(folder: Path) -> dict[str, Path]:
    """Build the targets in an empty folder; return the programs by name."""
    best = next(name for name in _kernels.variants() if name != "avx_vnni")  # which not every clang knows
    clang, engine = require("clang"), engine_with((best, "scalar"), folder)
    tests = [engine / "tests" / f"{name}.c" for name in ("running", "random_plan", "trying")]
    targets = {name: engine / "tests" / f"fuzz_{name}.c" for name in TARGETS}
    sources = [path for part in ("variants", "src", "operators") for path in sorted((engine / part).glob("*.c"))]

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.parent.name}_{source.stem}.o"
        run(clang, *PLAIN, *flags_of(source), "-Wall", "-Werror", f"-I{engine / 'include'}", "-c", source, "-o", target)
        return target

    every = [*sources, *tests, *targets.values()]
    with ThreadPoolExecutor(2) as pool:
        objects = dict(zip(every, pool.map(compile_one, every), strict=True))
    shared = [objects[source] for source in (*sources, *tests)]
    for name, source in targets.items():
        run(clang, *SANITIZED, "-fsanitize=fuzzer", *shared, objects[source], "-o", folder / name)
    return {name: folder / name for name in TARGETS}


# ---- running ----


@dataclass(frozen=True)
class Fuzzed:
    """The result of one run.

    Attributes:
        target: Name of the target.
        executions: Number of inputs tried.
        seconds: Wall time.
        finding: The last lines of the error output; empty if nothing went wrong.
    """

    target: str
    executions: int
    seconds: float
    finding: str


def corpus_of(target: str) -> Path:
    """Return the folder of a target's corpus."""
    return HERE / "corpus" / target


def starts(target: str, folder: Path) -> Path:
    """Return a folder of the inputs from which a target starts: the reference plans, or snapshots of a stream."""
    folder.mkdir()
    if target == "plan":
        for name, plan in reference_plans().items():
            (folder / name).write_bytes(plan)
        return folder
    model = _kernels.Model(reference_plans()[SNAPSHOT_OF], "")
    model.describe_outputs([name for name, _ in late().outputs], [])
    stream = _kernels.Stream(model)
    for frames in range(9):
        (folder / str(frames)).write_bytes(stream.snapshot())
        stream.push(np.ones((1, 3), np.float32))
    return folder


def fuzz(target: str, program: Path, folder: Path, executions: int, *, seed: int = 0, seconds: int = 0) -> Fuzzed:
    """Run a target from its corpus.

    Args:
        target: Name of the target.
        program: The built target.
        folder: New inputs go into its subfolder `found`. An input with a finding goes to FINDINGS.
        executions: Number of inputs to try.
        seed: Seed of the fuzzer's random numbers; 0: a new one each time.
        seconds: Time limit; 0: none.
    """
    found = folder / "found"
    FINDINGS.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    command = [
        *(program, found, starts(target, folder / "starts"), corpus_of(target)),
        *(f"-runs={executions}", f"-seed={seed}", f"-max_total_time={seconds}", f"-max_len={LONGEST[target]}"),
        *(f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MOST_MEGABYTES}", f"-artifact_prefix={FINDINGS}/"),
        "-print_final_stats=1",
    ]
    started = time.monotonic()
    (folder / "model.tide").write_bytes(reference_plans()[SNAPSHOT_OF])
    options = os.environ | {
        "ASAN_OPTIONS": "quarantine_size_mb=4:malloc_context_size=4",
        "TIDEGATE_PLAN": str(folder / "model.tide"),
    }
    # Started by a shell: libFuzzer's memory limit counts the largest size that its process ever had, and a direct child
    # of this process starts with the size of this process.
    apart = ["sh", "-c", '"$@"; exit $?', "sh", *map(str, command)]
    done = subprocess.run(apart, env=options, capture_output=True, text=True, check=False)
    counted = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    finding = "\n".join(done.stderr.splitlines()[-60:]) if done.returncode else ""
    return Fuzzed(target, int(counted[1]) if counted else 0, time.monotonic() - started, finding)


# ---- the corpus and the ledger ----


def keep(target: str, program: Path, folder: Path) -> None:
    """Add the new inputs to the corpus, then remove every file that is not needed to reach the same code."""
    merged = folder / "merged"
    merged.mkdir()
    os.environ["TIDEGATE_PLAN"] = str(folder / "model.tide")
    run(program, "-merge=1", "-use_counters=0", merged, corpus_of(target), folder / "found")
    smallest = sorted(merged.iterdir(), key=lambda path: path.stat().st_size)[:MOST_KEPT]
    shutil.rmtree(corpus_of(target))
    corpus_of(target).mkdir(parents=True)
    for path in smallest:
        data = path.read_bytes()
        (corpus_of(target) / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def corpus_hash(target: str) -> str:
    """Return a hash of all files of a corpus."""
    whole = hashlib.sha256()
    for path in sorted(corpus_of(target).iterdir()):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def commit() -> str:
    """Return the commit that is checked out, with `-dirty` if there are changes; ask before a run, which makes some."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def note(fuzzed: Fuzzed, at: str) -> str:
    """Append a run at a commit to the ledger and return its line."""
    command = f"`fuzz.py --target {fuzzed.target}`"
    cells = [
        f"{datetime.now(UTC):%Y-%m-%d}",
        at,
        command,
        f"{fuzzed.executions:,}",
        f"{fuzzed.seconds:.0f}",
        corpus_hash(fuzzed.target),
        "a finding" if fuzzed.finding else "no finding",
    ]
    line = f"| {' | '.join(cells)} |\n"
    LEDGER.write_text(LEDGER.read_text() + line)
    return line


def noted() -> Iterator[tuple[str, int, str]]:
    """Yield the target, the executions and the result of each run in the ledger."""
    for line in LEDGER.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if found := re.search(r"--target (\w+)", cells[2]) if len(cells) == 7 else None:
            yield found[1], int(cells[3].replace(",", "")), cells[6]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description="Fuzz the loaders of plans and snapshots, and note each run in docs/fuzzing.md."
    )
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument(
        "--executions", type=int, default=10_000_000, help="inputs for each target (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=int, default=0, help="time limit; 0: none")
    options = parser.parse_args()
    status, at = 0, commit()
    for target in options.target or TARGETS:
        with tempfile.TemporaryDirectory(prefix="tidegate-fuzz-") as name:
            folder = Path(name)
            (folder / "build").mkdir()
            program = build(folder / "build")[target]
            fuzzed = fuzz(target, program, folder, options.executions, seconds=options.seconds)
            keep(target, program, folder)
        print(note(fuzzed, at), end="")
        if fuzzed.finding:
            print(f"{fuzzed.finding}\nthe input is in {FINDINGS}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
