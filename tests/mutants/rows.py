"""Take the behaviour of a row of docs/failures.md away, and see its test fail.

    python tests/mutants/rows.py [ROW...]

The sources are not touched: `campaign.py` says how. The first table is judged by the tests of the row, the second by
the engine's C programs.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from mutants.choosing import ROOT, Mutant  # noqa: E402
from mutants.engine import Engine  # noqa: E402
from mutants.guards import run_tests, written  # noqa: E402

# The row, the source, what only one line of it has, what this line becomes, the tests, and words of their names.
PYTHON = (
    (
        14,
        "runtime/graph/data_files.py",
        "if name != Path(name).name",
        "if False:",
        "runtime/graph/test_data_files.py",
        "row_14",
    ),
    (14, "runtime/files.py", "if is_device(path):", "if False:", "runtime/test_files.py", "device_stays"),
    (15, "runtime/graph/gate.py", "is unknown, wanted {wanted}", "continue", "runtime/graph/test_gate.py", "row_15"),
    (
        17,
        "runtime/graph/structure.py",
        "    _refuse_circles(graph",
        "pass",
        "runtime/graph/test_structure.py",
        "row_17",
    ),
    (17, "runtime/contract.py", "if len(values) > MOST_PORTS:", "if False:", "runtime/test_contract.py", "row_17"),
    (22, "runtime/contract.py", "{where}: {key} = {value!r} is not", "pass", "runtime/test_contract.py", "row_22"),
    (23, "export/proof/proof.py", "{a} and {b} swapped", "yield from ()", "export/proof/test_proof.py", "good_file"),
    (25, "runtime/files.py", "os.fsync(file.fileno())", "pass", "runtime/test_files.py", "flushed"),
    (25, "runtime/files.py", ".replace(target)", "Path(target).write_bytes(data)", "runtime/test_files.py", "row_25_w"),
    (43, "runtime/live/notices.py", "if now - last >= PAUSE:", "if True:", "runtime/live/test_notices.py", "row_43"),
    (44, "runtime/files.py", ".unlink(missing_ok=True)", "pass", "runtime/test_faults.py", "row_44"),
    (245, "runtime/files.py", ".unlink(missing_ok=True)", "pass", "api/test_faults.py", "row_245"),
)
C = (
    (1, "src/push.c", "return input_ok(stream->model, frames, count)", "return TIDE_OK;"),
    (1, "src/late.c", "memcpy(state->before, held->rows", ";"),
    (5, "src/push.c", "roll_back(b->streams[0]);", ";"),
    (26, "src/group.c", "new_stream(group->row[row].stream", ";"),
    (28, "src/snapshot.c", "if (!header_ok(stream->model", ";"),
    (246, "operators/reduce.c", "i < parts", "for (size_t i = 0; i <= parts; i++) out[i] = reduce(in[0], part);"),
    (246, "operators/elementwise.c", "t < frames", "for (size_t t = 0; t <= frames; t++) {"),
)


def changed(file: str, part: str, now: str) -> Mutant:
    """Return a mutant of the only line that has a part."""
    lines = (ROOT / file).read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if part in line]
    line = lines[at]
    return Mutant(file, at + 1, line, line[: len(line) - len(line.lstrip())] + now)


def without_python(file: str, part: str, now: str, test: str, words: str) -> str:
    """Return the test that fails without a behaviour of Python, or nothing."""
    with written(changed(file, part, now)) as (module, source):
        return run_tests(test, module, source, "-k", words)


def main(wanted: list[str]) -> int:
    """Print what fails for each row; return 1 if nothing does for some row."""
    python = [entry for entry in PYTHON if not wanted or str(entry[0]) in wanted]
    engine = [entry for entry in C if not wanted or str(entry[0]) in wanted]
    found = [(row, part, without_python(file, part, *rest)) for row, file, part, *rest in python]
    if engine:
        built = Engine(ROOT / "build" / "mutants")
        found += [
            (row, part, built.judge(changed(f"runtime/kernels/{file}", part, now)) or "")
            for row, file, part, now in engine
        ]
    for row, part, killer in found:
        print(f"row {row}: without `{part.strip()}`: {killer or 'NOTHING FAILS'}")
    return int(not all(killer for *_, killer in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
