"""The table of `make devices`: for each model and device the hash, instructions, flash and RAM.

    python tests/devices/table.py

prints one line per device, writes build/devices.json and puts the table into docs/devices.md.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from devices import proving  # noqa: E402
from devices.models import FRAMES, MODELS, samples  # noqa: E402
from tidegate.runtime.arrays import Floats  # noqa: E402
from tidegate.runtime.device.targets import TARGETS, Run, Target  # noqa: E402

ROOT = TESTS.parent
DOCUMENT = ROOT / "docs" / "devices.md"
MARKS = "<!-- devices: made by `make devices` -->\n", "<!-- end of devices -->\n"
SHOWN = 16  # digits of a hash in the table


@dataclass(frozen=True)
class Row:
    """One model on one device; what was not measured is None: the hash too, if nothing here runs the variant."""

    target: str
    model: str
    hash: str | None
    instructions_per_step: int | None
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int | None


def measured(model: str, plan: bytes, frames: Floats, target: Target, folder: Path) -> Iterator[Row]:
    """Yield one row for each variant of a target."""
    built = proving.build(plan, target, folder)
    for how in target.runs:
        here = proving.on_this_machine(how)
        seen = {} if here is None else proving.stream(built, here, frames)
        stack = seen.get("stack")
        yield Row(
            target=name_of(target, how),
            model=model,
            hash=seen.get("hash"),
            instructions_per_step=None if here is None else proving.instructions(built, here, frames),
            flash_bytes=built.flash_bytes,
            ram_bytes=built.ram_bytes,
            stack_bytes=None if stack is None else int(stack),
        )


def name_of(target: Target, how: Run) -> str:
    """Return the name of a variant on a target in the table."""
    return f"{target.name} {how.variant}"


def rows() -> Iterator[Row]:
    """Yield all rows; for each model the row of Python comes first."""
    for model, (plan_in, channels) in MODELS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plan, frames = plan_in(folder), samples()[:, channels]
            yield Row("Python", model, proving.hash_in_python(plan, frames), None, len(plan), 0, None)
            for target in TARGETS.values():
                yield from measured(model, plan, frames, target, folder / target.name)


def cells(row: Row) -> list[str]:
    """Return the cells of a row as texts."""
    numbers = (row.instructions_per_step, row.flash_bytes, row.ram_bytes, row.stack_bytes)
    shown = ["" if number is None else f"{number:,}" for number in numbers]
    if row.target == "Python":
        shown = ["", f"{row.flash_bytes:,} (the plan)", "", ""]
    return [row.model, row.target, f"`{row.hash[:SHOWN]}`" if row.hash else "", *shown]


def line(values: list[str]) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(values)} |"


HEAD = [
    line(["model", "target", "hash", "instructions a step", "flash", "RAM", "stack used"]),
    "|---|---|---|---:|---:|---:|---:|",
]


def document(text: str, found: Sequence[Row]) -> str:
    """Return the document with the rows in its table; the line of a variant that nothing here runs stays as it was."""
    before, _, rest = text.partition(MARKS[0])
    table, _, after = rest.partition(MARKS[1])
    old = {tuple(shown.strip("| ").split(" | ")[:2]): shown for shown in table.splitlines()}
    lines = [old.get((row.model, row.target), "") if row.hash is None else line(cells(row)) for row in found]
    return before + MARKS[0] + "\n".join([*HEAD, *filter(None, lines)]) + "\n" + MARKS[1] + after


def main() -> None:
    """Print the table and write both files."""
    print(f"{FRAMES} samples per model", *HEAD, sep="\n", flush=True)
    found = []
    for row in rows():
        if row.hash is None:
            print(f"left out: {row.model}, {row.target}: neither this processor nor qemu runs it", file=sys.stderr)
        else:
            print(line(cells(row)), flush=True)
        found.append(row)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "devices.json").write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n")
    DOCUMENT.write_text(document(DOCUMENT.read_text(), found))
    for model in MODELS:
        if len({row.hash for row in found if row.model == model and row.hash is not None}) != 1:
            sys.exit(f"{model}: hashes differ")


if __name__ == "__main__":
    main()
