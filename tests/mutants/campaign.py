"""Change the engine and the Python that guards it line by line, and see whether a test fails.

    python tests/mutants/campaign.py --language c --count 400

(`make mutants`). universalmutator proposes the changes; a seed gives their order. Each mutant gets a line in
`c.jsonl` or `python.jsonl` next to this file, and a run goes on where the last one stopped. The sources are never
touched: a mutant is built in a folder of its own, or injected into the processes of its tests. docs/testing.md has the
figures and what is said of the mutants that live.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from mutants.choosing import ANNOTATION, ROOT, SAME, Mutant, in_order  # noqa: E402
from mutants.engine import Engine  # noqa: E402
from mutants.guards import Guards  # noqa: E402

SEED = 25
BUILD = ROOT / "build" / "mutants"


def ledger(language: str) -> Path:
    """Return the ledger of a language."""
    return HERE / f"{language}.jsonl"


def noted(language: str) -> list[dict[str, Any]]:
    """Return the entries of a ledger."""
    path = ledger(language)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def figures(language: str) -> tuple[int, int]:
    """Return how many mutants of a ledger were judged, and how many were killed; equivalent ones do not count."""
    counted = [entry for entry in noted(language) if not entry.get("equivalent")]
    return len(counted), sum(bool(entry["killed by"]) for entry in counted)


def entry_of(mutant: Mutant, killer: str, seconds: float) -> dict[str, Any]:
    """Return the line of a ledger for a mutant."""
    equivalent = {"equivalent": killer} if killer in (SAME, ANNOTATION) else {}
    return {
        "name": mutant.name,
        "file": mutant.file,
        "line": mutant.line,
        "was": mutant.was.strip(),
        "now": mutant.now.strip(),
        "killed by": "" if equivalent else killer,
        "seconds": round(seconds),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        **equivalent,
    }


def judged(room: Engine | Guards, seed: int, known: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the entries of mutants that are not known yet; of lines with one text, the first is judged."""
    for mutant in in_order(room.files, room.language, seed):
        if mutant.name in known:
            continue
        known.add(mutant.name)
        started = time.monotonic()
        killer = room.judge(mutant, quickly=True)
        if killer is not None:
            yield entry_of(mutant, killer, time.monotonic() - started)


def again(room: Engine | Guards) -> int:
    """Judge those again, and slowly, that live by the ledger; return how many still do."""
    language, lived = room.language, 0
    entries = noted(language)
    mutants = {mutant.name: mutant for mutant in in_order(room.files, language, SEED)}
    for at, entry in enumerate(entries):
        if entry["killed by"] or entry.get("equivalent") or entry["name"] not in mutants:
            continue
        started = time.monotonic()
        killer = room.judge(mutants[entry["name"]]) or ""
        entries[at] = entry_of(mutants[entry["name"]], killer, time.monotonic() - started)
        lived += not killer
        print(f"{entry['file']}:{entry['line']}: {entry['now']}  |  {killer or 'LIVES'}", flush=True)
        ledger(language).write_text("".join(json.dumps(one) + "\n" for one in entries))
    return lived


def room_of(language: str) -> Engine | Guards:
    """Return what judges mutants of a language."""
    return Engine(BUILD) if language == "c" else Guards()


def campaign(room: Engine | Guards, count: int, seconds: float, seed: int, *, sample: bool) -> int:
    """Judge mutants quickly; return how many lived.

    Args:
        room: What judges mutants of a language.
        count: Most mutants.
        seconds: After this time no other mutant is begun; 0: no limit.
        seed: Gives the order.
        sample: Judge also what the ledger knows, and write nothing.
    """
    until = time.monotonic() + seconds if seconds else float("inf")
    language, lived = room.language, 0
    for done, entry in enumerate(judged(room, seed, set() if sample else {one["name"] for one in noted(language)}), 1):
        lived += not entry["killed by"]
        print(
            f"{entry['file']}:{entry['line']}: {entry['was']}  =>  {entry['now']}  |  {entry['killed by'] or 'LIVES'}",
            flush=True,
        )
        if not sample:
            with ledger(language).open("a") as file:
                file.write(json.dumps(entry) + "\n")
        if done == count or time.monotonic() > until:
            break
    return lived


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", choices=["c", "python"], action="append", help="default: both")
    parser.add_argument("--count", type=int, default=100, help="mutants to judge (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0, help="begin no mutant after this time; 0: no limit")
    parser.add_argument("--again", action="store_true", help="only judge again what lives by the ledger")
    parser.add_argument("--of-the-day", action="store_true", help="a sample by the date, which the ledger does not get")
    options = parser.parse_args(arguments)
    seed = int(f"{datetime.now(UTC):%Y%m%d}") if options.of_the_day else SEED
    for language in options.language or ["c", "python"]:
        room = room_of(language)
        if not options.again:
            campaign(room, options.count, options.seconds, seed, sample=options.of_the_day)
        if not options.of_the_day:
            again(room)
        print(f"{language}: %d judged in all, %d killed" % figures(language))


if __name__ == "__main__":
    main()
