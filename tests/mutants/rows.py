"""Take the behaviour of a row of docs/failures.md away, and see its test fail.

    python tests/mutants/rows.py [ROW...]

`rows.jsonl` next to this file has a line for each behaviour: the source, what only one line of it has, what this line
becomes, and what fails then; the command writes the last of these with date and commit. The sources are not touched:
`campaign.py` says how. Without a test the engine's C programs judge; a line of C with a test in Python names the object
that is compiled again. Without arguments the rows that were never judged are.
"""

import json
import sys
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from kernels.building import require, run  # noqa: E402
from mutants.binding import MODULE, binding_with  # noqa: E402
from mutants.choosing import ROOT, Mutant  # noqa: E402
from mutants.engine import Engine  # noqa: E402
from mutants.guards import written  # noqa: E402
from mutants.runs import run_tests  # noqa: E402

LEDGER = HERE / "rows.jsonl"
Entry = dict[str, Any]


def noted() -> list[Entry]:
    """Return the entries of the ledger."""
    return [json.loads(line) for line in LEDGER.read_text().splitlines()]


def changed(entry: Entry) -> Mutant:
    """Return the mutant of an entry: of the only line that has its part."""
    lines = (ROOT / entry["file"]).read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if entry["part"] in line]
    line = lines[at]
    return Mutant(entry["file"], at + 1, line, line[: len(line) - len(line.lstrip())] + entry["now"])


@cache
def engine() -> Engine:
    """Return the engine, which takes a minute to build."""
    return Engine(ROOT / "build" / "mutants")


def judged(entry: Entry) -> str:
    """Return what fails without the behaviour of an entry, or nothing."""
    mutant = changed(entry)
    if "test" not in entry:
        return engine().judge(mutant, entry.get("object", "")) or ""
    if "object" not in entry:
        with written(mutant) as (module, source):
            return run_tests(entry["test"], module, source, "-k", entry["words"])
    with tempfile.TemporaryDirectory() as folder:
        made = binding_with(mutant, entry["object"], Path(folder))
        return run_tests(entry["test"], MODULE, made, "-k", entry["words"])


def main(wanted: list[str]) -> int:
    """Judge rows and write what fails; return 1 if nothing does for some row."""
    head = run(require("git"), "-C", ROOT, "rev-parse", "--short", "HEAD")
    entries, lived = noted(), 0
    for entry in entries:
        if str(entry["row"]) not in wanted if wanted else entry["fails"]:
            continue
        killer = judged(entry)
        lived += not killer
        print(f"row {entry['row']}: without `{entry['part']}`: {killer or 'NOTHING FAILS'}", flush=True)
        entry |= {"fails": killer, "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": head.strip()}
        LEDGER.write_text("".join(json.dumps(one) + "\n" for one in entries))
    return int(lived > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
