"""Each condition of the plan's check refuses a plan alone: a good plan of which one word is another.

`refusals.txt` has a line for each operator and field: how often it refused, and the first such plan. After a change of
a check or of the reference plans, `python tests/kernels/test_refusals.py` writes it again; its difference says what
changed.
"""

import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fuzzing.plans import reference_plans  # noqa: E402
from kernels.building import KERNELS, build, run  # noqa: E402

TABLE = HERE / "refusals.txt"
CHECKS = r"plan_(?:refuse|equal|within|\w+_ok|exponent_within)\(c, (?:[\w.>\[\]*+-]+, )*\"([^\"]+)\""
# Fields that one word alone cannot make wrong, because another field is refused first; tests in Python have them.
SEVERAL_WORDS = {
    "clocks": "runtime/plan/test_refused_records.py",
    "held values": "runtime/plan/test_refused_records.py",
    "layer": "runtime/plan/test_writer.py",
    "second input's clock leads": "runtime/plan/test_refused_records.py",
    "size of all arrays": "runtime/plan/test_writer.py",
    "tails of all windows": "runtime/plan/test_writer.py",
    "width of all values": "runtime/plan/test_writer.py",
}


def refused(programs: Path, folder: Path, *emulator: str) -> str:
    """Return the table of the reference plans, which are written to a folder."""
    for name, plan in reference_plans().items():
        (folder / f"{name}.tide").write_bytes(plan)
    return run(*emulator, programs / "refusals", *(folder / name for name in reference_plans()))


def test_each_condition_refuses_the_plans_that_it_refused_before(native: Path, tmp_path: Path) -> None:
    assert refused(native, tmp_path) == TABLE.read_text()


def test_each_field_of_a_check_refuses_alone_or_has_a_test_of_its_own() -> None:
    sources = [path.read_text() for room in ("src", "operators") for path in KERNELS.glob(f"{room}/*.[ch]")]
    named = {field for text in sources for field in re.findall(CHECKS, text)}
    alone = {line.split(" | ")[1] for line in TABLE.read_text().splitlines()[:-1]}
    assert len(named) > 60
    assert named - alone == set(SEVERAL_WORDS)
    for field, test in SEVERAL_WORDS.items():
        assert field in (HERE.parent / test).read_text()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as plans:
        TABLE.write_text(refused(build(Path(made), "cc"), Path(plans)))
