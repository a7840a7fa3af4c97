"""Fuzzes what comes from strangers: plans and snapshots.

    python tests/fuzzing/fuzz.py --target plan --executions 10000000

(`make fuzz`) builds the target with clang's libFuzzer under the address and undefined-behaviour sanitizers, runs it
from the corpus kept here, keeps what reached new code in the corpus, and writes what was run into the ledger,
docs/fuzzing.md.
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
from fuzzing.plans import reference_plans  # noqa: E402
from kernels.building import KERNELS, require, run  # noqa: E402
from tidegate.runtime import _kernels  # noqa: E402

TARGETS = ("plan", "snapshot")
LEDGER = ROOT / "docs" / "fuzzing.md"
FINDINGS = ROOT / "build" / "findings"
LONGEST = {"plan": 5000, "snapshot": 2000}  # bytes of an input
SNAPSHOT_OF = "late"  # the plan: its streams hold frames back, so that the size of a snapshot follows from its counter
MOST_KEPT = 200  # files of a corpus
HANG_SECONDS, MOST_MEGABYTES = 120, 512  # of wall time: a busy machine lets a process wait for some

PLAIN = ["-std=gnu11", "-g1", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
SANITIZED = [
    "-fsanitize=address,undefined,float-cast-overflow",  # floats divided by zero leave the range, and are refused
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]
# Coverage where decisions on the input are made; elsewhere its bookkeeping takes nine tenths of the time.
COVERED = ["-fsanitize=fuzzer-no-link"]
COVERED_BRANCHES = [*COVERED, "-fno-sanitize-coverage=trace-cmp"]


# ---- building ----


def flags_of(source: Path) -> list[str]:
    """Return the compiler flags of a source file."""
    if source.name == "hash.c":  # a third of the time, and without branches; the other sanitizer build has it
        return ["-O3"]
    if source.parent.name == "variants":  # optimized, one file takes two minutes to compile
        return [*SANITIZED, "-O0"]
    if source.name in ("plan.c", "snapshot.c"):
        return [*SANITIZED, *COVERED, "-O2"]
    return [*SANITIZED, *(COVERED_BRANCHES if source.parent.name == "operators" else []), "-O2"]


def _copy_of_engine(folder: Path) -> Path:
    """Return a copy with two variants: the best one that any clang knows, and plain C."""
    copy = folder / "kernels"
    shutil.copytree(KERNELS, copy)
    names = [name for name in _kernels.variants() if name != "avx_vnni"]
    lines = (copy / "src/variants.inc").read_text().splitlines(keepends=True)
    kept = {f"TIDE_VARIANT({name})\n" for name in (names[0], "scalar")}
    (copy / "src/variants.inc").write_text(
        "".join(line for line in lines if line in kept or not line.startswith("TIDE_VARIANT"))
    )
    for file in (copy / "variants").glob("*.c"):
        if file.stem not in (names[0], "scalar"):
            file.unlink()
    return copy


def build(folder: Path) -> dict[str, Path]:
    """Build the targets in an empty folder; return the programs by name."""
    clang, engine = require("clang"), _copy_of_engine(folder)
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
    """What one run did.

    Attributes:
        target: Name of the target.
        executions: Inputs tried.
        seconds: Wall time.
        finding: What went wrong; empty: nothing.
    """

    target: str
    executions: int
    seconds: float
    finding: str


def corpus_of(target: str) -> Path:
    """Return the folder of a target's corpus."""
    return HERE / "corpus" / target


def starts(target: str, folder: Path) -> Path:
    """Return a folder with what a target starts from: the reference plans, or snapshots of a stream of one of them."""
    folder.mkdir()
    if target == "plan":
        for name, plan in reference_plans().items():
            (folder / name).write_bytes(plan)
        return folder
    model = _kernels.Model(reference_plans()[SNAPSHOT_OF], "")
    model.name_outputs(["last", "first", "window"])
    stream = _kernels.Stream(model)
    for frames in range(9):
        (folder / str(frames)).write_bytes(stream.snapshot())
        stream.push(np.ones((1, 3), np.float32))
    return folder


def fuzz(target: str, program: Path, folder: Path, executions: int, *, seed: int = 0, seconds: int = 0) -> Fuzzed:
    """Run a target from its corpus.

    Args:
        target: Its name.
        program: What was built.
        folder: Where new inputs go, into `found`; an input with a finding goes to FINDINGS.
        executions: How many inputs.
        seed: Of the fuzzer's random numbers; 0: another each time.
        seconds: An earlier end; 0: none.
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
    # A shell between: libFuzzer's memory limit counts the most that its process ever held, and a child of this one
    # starts with what this one holds.
    apart = ["sh", "-c", '"$@"; exit $?', "sh", *map(str, command)]
    done = subprocess.run(apart, env=options, capture_output=True, text=True, check=False)
    counted = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    finding = "\n".join(done.stderr.splitlines()[-60:]) if done.returncode else ""
    return Fuzzed(target, int(counted[1]) if counted else 0, time.monotonic() - started, finding)


# ---- keeping ----


def keep(target: str, program: Path, folder: Path) -> None:
    """Make the corpus as small as it can be while it reaches all code that it and the new inputs reach."""
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
    """Return what tells one corpus from another."""
    whole = hashlib.sha256()
    for path in sorted(corpus_of(target).iterdir()):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def commit() -> str:
    """Return the commit that is checked out, `-dirty` with changes; a run makes some of its own, so ask before it."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(describe, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def note(fuzzed: Fuzzed, at: str) -> str:
    """Append a run of what was checked out `at` a commit to the ledger and return its line."""
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
    """Return target, executions and result of each run in the ledger."""
    for line in LEDGER.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if found := re.search(r"--target (\w+)", cells[2]) if len(cells) == 7 else None:
            yield found[1], int(cells[3].replace(",", "")), cells[6]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Fuzzes the loaders of plans and snapshots, and notes it.")
    parser.add_argument("--target", choices=TARGETS, action="append", help="default: all")
    parser.add_argument("--executions", type=int, default=10_000_000, help="of each (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=0, help="end earlier; 0: no limit")
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
