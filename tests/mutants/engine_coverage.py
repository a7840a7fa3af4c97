"""Which lines and branches of the engine the C programs reach, those that run under the sanitizers (`make coverage`).

    python tests/mutants/engine_coverage.py

prints the share of each file in src/ and operators/ with the lines that were never reached and those whose branches did
not go each way, and the share of all.
"""

import gzip
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from kernels.building import ROOT, run  # noqa: E402
from mutants.engine import Build  # noqa: E402

FLAGS = ("-O0", "--coverage")


def counted(build: Build, name: str) -> list[dict[str, Any]]:
    """Return the lines of a source with their counts and branches, from gcov."""
    room, stem = name.split("/")
    run("gcov", "--json-format", "--branch-probabilities", "-o", build.folder, build.folder / f"{room}_{stem}.gcda")
    report = Path(f"{room}_{stem}.gcda.gcov.json.gz")
    if not report.exists():
        report = Path(f"{room}_{stem}.gcov.json.gz")
    data = json.loads(gzip.decompress(report.read_bytes()))
    report.unlink()
    return [line for file in data["files"] if file["file"].endswith(f"{name}.c") for line in file["lines"]]


def share(reached: int, every: int) -> str:
    """Return a share as text."""
    return f"{100 * reached / every:.1f} %" if every else "-"


def numbers(lines: Iterable[dict[str, Any]]) -> str:
    """Return the numbers of lines as text."""
    return " ".join(str(line["line_number"]) for line in lines)


def main() -> None:
    """Build with counters, run the programs, print the shares."""
    build = Build(ROOT / "build" / "mutants" / "coverage", FLAGS)
    for old in build.folder.glob("*.gcda"):
        old.unlink()
    for number in range(len(build.commands)):
        build.seconds_of(number)
    totals = [0, 0, 0, 0]
    for name in sorted(name for name in build.objects if name.startswith(("src/", "operators/"))):
        if not (build.folder / f"{name.replace('/', '_')}.gcda").exists():
            continue
        lines = counted(build, name)
        branches = [branch for line in lines for branch in line["branches"]]
        figures = [
            sum(line["count"] > 0 for line in lines),
            len(lines),
            sum(branch["count"] > 0 for branch in branches),
            len(branches),
        ]
        totals = [a + b for a, b in zip(totals, figures, strict=True)]
        never = numbers(line for line in lines if not line["count"])
        one_way = numbers(line for line in lines if not all(branch["count"] for branch in line["branches"]))
        print(
            f"{name}: lines {share(*figures[:2])}, branches {share(*figures[2:])}{never and f'; never {never}'}", end=""
        )
        print(one_way and f"; not each way {one_way}")
    print(f"all {totals[1]} lines: {share(*totals[:2])}; all {totals[3]} branches: {share(*totals[2:])}")


if __name__ == "__main__":
    main()
