"""Write the tables of docs/support.md (`make support`), operators, precisions and modules, and bench.schema.json.

The first table shows what the golden vectors hold. tests/kernels replays each vector on every instruction-set variant
(test_vectors on this processor, test_cross on other processors under emulation) and compares with ==.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from tidegate.benchmarks.measuring.schema import result_schema  # noqa: E402
from tidegate.runtime.operators import OPERATORS, Embedding, Operator, Rnn  # noqa: E402
from tidegate.runtime.operators.matrix import FLOAT, Matrix  # noqa: E402
from tools import matrix as shapes  # noqa: E402
from tools.random_layers import FORMATS  # noqa: E402
from vectors.coverage import programs  # noqa: E402

PAGE = TESTS.parent / "docs" / "support.md"
MARKS = "<!-- support: made by `make support` -->\n", "<!-- end of support -->\n"
EXPORT_MARKS = "<!-- exports: made by `make support` -->\n", "<!-- end of exports -->\n"


def format_name(weight_bits: int, group: int) -> str:
    """Return the name of a weight format: W8, W4g32, float32."""
    return "float32" if weight_bits == FLOAT else f"W{weight_bits}" + (f"g{group}" if group else "")


def row_name(op: Operator) -> str:
    """Return the name of an operator in the table."""
    return f"{type(op).__name__} {op.function}" if isinstance(op, Rnn) else type(op).__name__


def matrices(op: Operator) -> list[Matrix]:
    """Return the matrices of an operator."""
    return [value for value in vars(op).values() if isinstance(value, Matrix)]


def held() -> dict[str, dict[str, set[int]]]:
    """Return the activation bits in the vectors, by the name of the operator and the format of its weights."""
    found: dict[str, dict[str, set[int]]] = {}
    for op in (op for program in programs().values() for op in program.ops):
        mine = found.setdefault(row_name(op), {})
        for matrix in matrices(op):
            bits = set() if isinstance(op, Embedding) else {matrix.bits}  # a table of ids multiplies nothing
            mine.setdefault(format_name(matrix.weight_bits, matrix.group), set()).update(bits)
        if isinstance(op, Embedding) and not matrices(op):
            mine.setdefault("float32", set())
    return found


def cell(name: str, bits: set[int] | None) -> str:
    """Return a cell of the table: the activation bits of the vectors, or a dash if there is no vector."""
    if bits is None:
        return "-"
    return "yes" if name == "float32" else " ".join(f"A{b}" for b in sorted(bits, reverse=True)) or "yes"


def variants() -> list[str]:
    """Return the instruction-set variants in the engine's list."""
    text = (TESTS.parent / "runtime" / "kernels" / "src" / "variants.inc").read_text()
    return re.findall(r"^TIDE_VARIANT\((\w+)\)", text, re.MULTILINE)


def table() -> str:
    """Return the table of operators and precisions, and the variants on which they run."""
    columns, rows = [format_name(*weights) for weights in FORMATS], held()
    with_weights = {name: mine for name, mine in rows.items() if mine}
    lines = [f"| {' | '.join(['weights', *columns])} |", f"|{'---|' * (len(columns) + 1)}"]
    for name, mine in with_weights.items():
        lines.append(f"| {name} | {' | '.join(cell(column, mine.get(column)) for column in columns)} |")
    order = [operator.__name__ for operator in OPERATORS]
    others = ", ".join(sorted(set(rows) - set(with_weights), key=order.index))
    without = f"Operators without weights, in float32, every function of each: {others}."
    return "\n".join([*lines, "", f"{without} The variants: {', '.join(variants())}."]) + "\n"


def exports() -> str:
    """Return the table of exports: the number of shapes for each module and option."""
    columns = shapes.options()
    found = Counter((case.kind, option) for case in shapes.cases() for option in case.options)
    rows = [[f"`{kind}`", *(str(found[kind, column] or "-") for column in columns)] for kind in shapes.KINDS]
    lines = [f"| {' | '.join(row)} |" for row in (["native and onnxruntime", *columns], *rows)]
    return "\n".join([lines[0], f"|{'---|' * (len(columns) + 1)}", *lines[1:]]) + "\n"


def written(marks: tuple[str, str] = MARKS) -> str:
    """Return the table between two marks of the page."""
    return PAGE.read_text().partition(marks[0])[2].partition(marks[1])[0]


def main() -> None:
    """Write the tables into the page, and the schema beside it."""
    for marks, text in ((MARKS, table()), (EXPORT_MARKS, exports())):
        before, _, rest = PAGE.read_text().partition(marks[0])
        PAGE.write_text(before + marks[0] + text + marks[1] + rest.partition(marks[1])[2])
    PAGE.with_name("bench.schema.json").write_text(json.dumps(result_schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
