"""Which lines and branches of the engine the C programs reach, those that run under the sanitizers (`make coverage`).

    python tests/mutants/coverage.py

prints the share of each file in src/ and operators/ with the lines that were never reached, and the share of all.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from kernels.building import ROOT, run  # noqa: E402
from mutants.engine import Engine  # noqa: E402

FLAGS = ("-O0", "--coverage")


def counted(engine: Engine, name: str) -> list[dict[str, Any]]:
    """Return the lines of a source with their counts and branches, from gcov."""
    room, stem = name.split("/")
    run("gcov", "--json-format", "--branch-probabilities", "-o", engine.folder, engine.folder / f"{room}_{stem}.gcda")
    report = Path(f"{room}_{stem}.gcda.gcov.json.gz")
    if not report.exists():
        report = Path(f"{room}_{stem}.gcov.json.gz")
    data = json.loads(gzip.decompress(report.read_bytes()))
    report.unlink()
    return [line for file in data["files"] if file["file"].endswith(f"{name}.c") for line in file["lines"]]


def share(reached: int, every: int) -> str:
    """Return a share as text."""
    return f"{100 * reached / every:.1f} %" if every else "-"


def main() -> None:
    """Build with counters, run the programs, print the shares."""
    engine = Engine(ROOT / "build" / "coverage", FLAGS)
    for old in engine.folder.glob("*.gcda"):
        old.unlink()
    for command in engine.commands():
        engine.link(engine.objects, Path(command[0]).name)
        subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True)
    totals = [0, 0, 0, 0]
    for name in sorted(name for name in engine.objects if name.startswith(("src/", "operators/"))):
        if not (engine.folder / f"{name.replace('/', '_')}.gcda").exists():
            continue
        lines = counted(engine, name)
        branches = [branch for line in lines for branch in line["branches"]]
        figures = [
            sum(line["count"] > 0 for line in lines),
            len(lines),
            sum(branch["count"] > 0 for branch in branches),
            len(branches),
        ]
        totals = [a + b for a, b in zip(totals, figures, strict=True)]
        missed = " ".join(str(line["line_number"]) for line in lines if not line["count"])
        never = f"; never {missed}" if missed else ""
        print(f"{name}: lines {share(*figures[:2])}, branches {share(*figures[2:])}{never}")
    print(f"all {totals[1]} lines: {share(*totals[:2])}; all {totals[3]} branches: {share(*totals[2:])}")


if __name__ == "__main__":
    main()
