"""Fuzz the doors in Python that take bytes of strangers.

    python tests/fuzzing/campaign.py --door onnx --seconds 3600

(part of `make fuzz`). Of the time for a door, one part of ten is under Atheris: inputs that reach new lines are kept in
the corpus, as few as reach all these lines. In the rest changes of whole inputs and of the corpus are tried by their
numbers, four times as many in a second. `doors.jsonl` has a line for each run, which goes on where the last one
stopped. An input with a finding is kept in the corpus, and a test tries it from then on.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from fuzzing.doors import DOORS, case, corpus_of, entered  # noqa: E402
from fuzzing.fuzz import commit  # noqa: E402
from fuzzing.guard import COUNTED, SILENT, Tried, tried  # noqa: E402

LEDGER = HERE / "doors.jsonl"
AIMS = {"onnx": 10**6, "lift": 10**4}
GUIDED = 0.1  # of the time
PIECE = 5.0  # seconds between two looks at the time
LONGEST = 20_000  # bytes of an input under Atheris
MOST_MEGABYTES = 1500
MOST_KEPT = 60  # files of a corpus, besides those of findings
FOUND = "found-"  # the beginning of their names
FOLDERS = tuple(str(ROOT / name) for name in ("api", "export", "quant", "runtime"))  # whose lines count


# ---- the ledger ----


def noted() -> Iterator[dict[str, Any]]:
    """Yield the runs."""
    yield from map(json.loads, LEDGER.read_text().splitlines() if LEDGER.exists() else [])


def cases_of(door: str, way: str = "") -> int:
    """Return how many cases of a door were tried, in one way or in both."""
    return sum(run["cases"] for run in noted() if run["door"] == door and way in ("", run["way"]))


def note(door: str, way: str, done: Tried, started: float, at: str) -> None:
    """Write a run that started at a time into the ledger, and print it.

    Raises:
        SystemExit: Another run of the door has ended meanwhile: it tried the same cases.
    """
    if cases_of(door, way) != done.first:
        sys.exit(f"{door}: another run tried cases from {done.first:,} on meanwhile; this one is not counted")
    entry = {
        "door": door,
        "way": way,
        "first": done.first,
        "cases": done.cases,
        "refused": done.refused,
        "taken": done.taken,
        "findings": len(done.findings),
        "seconds": round(time.monotonic() - started),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": at,
    }
    with LEDGER.open("a") as file:
        file.write(json.dumps(entry) + "\n")
    print(json.dumps(entry), flush=True)
    for number, said in done.findings.items():
        print(f"  {number}: {said}", flush=True)


# ---- the corpus ----


def keep_finding(door: str, data: bytes) -> None:
    """Keep an input with a finding."""
    corpus_of(door).mkdir(parents=True, exist_ok=True)
    (corpus_of(door) / f"{FOUND}{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)


def keep(door: str, found: Path) -> None:
    """Keep those of the corpus and of a folder that together reach all their lines, the smallest ones first."""
    before = [path for path in corpus_of(door).glob("*") if not path.name.startswith(FOUND)]
    inputs = sorted({path.read_bytes() for path in (*before, *found.iterdir())}, key=lambda data: (len(data), data))
    reached: set[tuple[str, int]] = set()
    for start in DOORS[door].starts():
        reached |= lines_of(door, start)
    kept: dict[str, bytes] = {}
    for data in inputs:
        lines = lines_of(door, data)
        if not lines <= reached and len(kept) < MOST_KEPT:
            kept[hashlib.sha256(data).hexdigest()[:16]] = data
            reached |= lines
    corpus_of(door).mkdir(parents=True, exist_ok=True)
    for path in before:
        path.unlink()
    for name, data in kept.items():
        (corpus_of(door) / name).write_bytes(data)


def lines_of(door: str, data: bytes) -> set[tuple[str, int]]:
    """Return the lines of tidegate that an input reaches."""
    found: set[tuple[str, int]] = set()

    def in_line(frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "line":
            found.add((frame.f_code.co_filename, frame.f_lineno))
        return in_line

    def in_call(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        return in_line if frame.f_code.co_filename.startswith(FOLDERS) else None

    before = sys.gettrace()
    sys.settrace(in_call)
    try:
        entered(door, data)
    finally:
        sys.settrace(before)
    return found


# ---- two ways ----


def by_numbers(door: str, seconds: float, most: int, at: str) -> None:
    """Try cases by their numbers, for a time or until there are so many."""
    first, started = cases_of(door, "numbers"), time.monotonic()
    done = Tried(first=first)
    piece = 10
    while (left := seconds - (time.monotonic() - started)) > 0 and done.cases < most:
        begun, begin = time.monotonic(), first + done.cases
        part = tried(door, range(begin, begin + min(piece, most - done.cases)))
        for number in part.findings:
            keep_finding(door, case(door, number))
        done.add(part.cases, part.refused, part.taken, part.findings)
        rate = part.cases / (time.monotonic() - begun)
        piece = max(int(rate * min(PIECE, left)), 1)
    note(door, "numbers", done, started, at)


def guided(door: str, seconds: float, at: str) -> None:
    """Try cases under Atheris for a time, and keep what reached new lines."""
    started, done = time.monotonic(), Tried(first=cases_of(door, "guided"))
    with tempfile.TemporaryDirectory(prefix="tidegate-fuzz-") as name:
        folder, found = Path(name), Path(name) / "found"
        found.mkdir()
        (folder / "starts").mkdir()
        for place, start in enumerate(DOORS[door].starts()):
            (folder / "starts" / str(place)).write_bytes(start)
        while (left := int(seconds - (time.monotonic() - started))) > 0 and _guide(door, folder, left, done):
            pass
        for path in (*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")):
            keep_finding(door, path.read_bytes())
        keep(door, found)
    note(door, "guided", done, started, at)


def _guide(door: str, folder: Path, seconds: int, done: Tried) -> bool:
    """Run Atheris for a time, and add what it counts; return whether there is a finding."""
    counts = folder / "counts"
    np.zeros(len(COUNTED), np.int64).tofile(counts)
    corpus_of(door).mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, HERE / "guided.py", door, counts, folder / "found", folder / "starts", corpus_of(door)),
        *(f"-max_total_time={seconds}", f"-timeout={SILENT:.0f}", f"-rss_limit_mb={MOST_MEGABYTES}"),
        *(f"-max_len={LONGEST}", f"-artifact_prefix={folder}/", f"-seed={1 + cases_of(door) + done.cases}"),
    ]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, errors="replace", check=False)
    cases, refused, taken = map(int, np.fromfile(counts, np.int64))
    finding = "\n".join(ran.stderr.splitlines()[-30:])
    done.add(cases, refused, taken, {done.cases + cases: finding} if ran.returncode else {})
    return bool(ran.returncode)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=DOORS, action="append", help="default: all")
    parser.add_argument("--seconds", type=float, default=3600, help="for all doors (default: %(default)s)")
    parser.add_argument("--way", choices=("guided", "numbers"), help="default: both")
    parser.add_argument("--cases", type=int, default=10**9, help="of a door by numbers; default: any number")
    options = parser.parse_args(arguments)
    at, doors = commit(), options.door or list(DOORS)
    share = options.seconds / len(doors)
    for door in doors:
        if options.way != "numbers":
            guided(door, share if options.way else GUIDED * share, at)
        if options.way != "guided":
            by_numbers(door, share if options.way else (1 - GUIDED) * share, options.cases, at)
        print(f"{door}: {cases_of(door):,} cases of {AIMS.get(door, 10**6):,}", flush=True)


if __name__ == "__main__":
    main()
