"""The parts of the engine that plans need: their files, and the memory of a model and a stream.

The C files are copies from `runtime/kernels`, which is part of the package. Lists of operators and variants keep only
those of the plans and of the target.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .. import _kernels
from ..operators import OPERATORS, Backward, Embedding, Folded
from ..operators.cells_with_options import FLOAT_CELLS
from ..plan.magic import has_starts
from ..plan.writer import ALIGNMENT, MATRIX, OP, read_header
from .targets import IN_PLACE, LAYOUTS, Target

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
MOST_CLOCKS, CLOCK_BYTES = 64, 16  # as in src/clocks.h; a build for one model leaves out clocks that it cannot have
# Operators that multiply by weights with the code of a variant, and integer operators with their own.
WITH_OPTIONS = {"lstm_with_options", "gru_with_options", "rnn_with_options"}
PRODUCTS = {"lstm", "gru", "rnn", "linear", "lstm_projected", "backward", "folded", "convolution", *WITH_OPTIONS}
FOR_PRODUCTS = {"pack.c", "project.c"}  # files of src/ that these operators call
INTEGER = {"integer_lstm", "integer_gru", "integer_linear", "integer_lstm_with_options", "integer_gru_with_options"}
MOVES = {
    "last",
    "last_cell",
    "slice",
    "concat",
    "align",
    "block_start",
    "take",
    "constant",
    "static",
}  # operators that copy values as they are
# Numbers of the formats of packed weights, as in src/kernels.h, by the bits of a weight and whether groups have scales.
FORMATS = {(8, False): 0, (8, True): 1, (4, False): 2, (4, True): 3, (16, False): 4, (16, True): 5, (32, False): 7}
WORDS = 6  # that of a small matrix of 8-bit weights, if the variant stores it as words
COLUMN = 8  # that of a matrix of one input, if the variant packs weights
INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
LISTED = re.compile(r"^TIDE_OPERATOR\((\w+)\)$", re.MULTILINE)


class Ops(NamedTuple):
    """The operators of plans by the names of their files, their multiply-adds per frame, their formats of weights."""

    names: set[str]
    multiply_adds: int
    formats: set[int]
    starts: bool  # whether a state starts from other values than zeros


def operations_of(plans: Iterable[bytes]) -> Ops:
    """Return the operators of all plans together and the sum of their multiply-adds per frame."""
    names, counts, formats, starts = zip(*map(_operations, plans), strict=True)
    return Ops(set().union(*names), sum(counts), set().union(*formats), any(starts))


def _operations(plan: bytes) -> Ops:
    header = read_header(plan)
    names: set[str] = set()
    formats: set[int] = set()
    total = 0
    snake = [re.sub(r"(?<!^)(?=[A-Z])", "_", operator.__name__).lower() for operator in OPERATORS]
    for index in range(header.operations):
        record = OP.unpack_from(plan, header.operations_at + index * OP.size)
        names.add(snake[record[0] - 1])
        if OPERATORS[record[0] - 1] in (Backward, Folded):
            names.add(snake[OPERATORS.index(FLOAT_CELLS[record[4] - 1])])
        if OPERATORS[record[0] - 1] is not Embedding:
            matrices = [MATRIX.unpack(part) for part in record[12:15]]
            total += sum(rows * columns for _, _, rows, columns, *_ in matrices)
            formats |= {FORMATS[matrix[6], matrix[7] > 0] for matrix in matrices if matrix[6]}
            formats |= {COLUMN for matrix in matrices if matrix[3] == 1}
            formats |= {WORDS for matrix in matrices if matrix[6] == 8 and not matrix[7]}
    return Ops(names, total, formats, has_starts(plan))


def engine_files(
    plans: Collection[bytes], variants: Sequence[str], without: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield name and text of each file of the engine that plans need.

    Args:
        plans: Compiled plans, which are checked.
        variants: The variants to have, best first.
        without: Files of `src/` that its program does not need.
    """
    ops = operations_of(plans)
    omitted = {*without, *(set() if ops.names & PRODUCTS else FOR_PRODUCTS)}
    omitted |= set() if _has_integers(ops) else {"fixed.c"}
    sources = [path for path in (KERNELS / "src").glob("*.c") if path.name not in omitted]
    sources += [KERNELS / "operators" / f"{name}.c" for name in ops.names]
    sources += [KERNELS / "variants" / f"{name}.c" for name in variants]
    for path in sorted(_with_headers([*sources, KERNELS / "include/tidegate.h"])):
        name = path.relative_to(KERNELS).as_posix()
        yield name, _fitted(name, path.read_text(), ops, variants)


def definitions(plans: Collection[bytes], variants: Collection[str]) -> list[str]:
    """Return the compiler's flags that fit the engine to plans and to variants."""
    ops = operations_of(plans)
    packing = [] if LAYOUTS.keys() & variants else ["packing"]
    most = {"OPS": max(read_header(plan).operations for plan in plans), "CLOCKS": _most_clocks(plans)}
    return [
        *(f"-DTIDE_MAX_{what}={count}" for what, count in most.items()),
        *(f"-DTIDE_WITHOUT_{name}" for name in [*_left_out(ops), *packing]),
        f"-DTIDE_FORMATS={sum(1 << number for number in ops.formats)}u",
    ]


def _with_headers(sources: Iterable[Path]) -> set[Path]:
    """Return files with all files that they include, directly or indirectly."""
    found: set[Path] = set()
    waiting = list(sources)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in INCLUDE.findall(path.read_text()):
            near, public = path.parent / name, KERNELS / "include" / name
            waiting.append((near if near.is_file() else public).resolve())
    return found


def _fitted(name: str, text: str, ops: Ops, variants: Sequence[str]) -> str:
    """Return the text of a file; lists of variants and operators have only those that are needed."""
    if name == "src/variants.inc":
        return "".join(f"TIDE_VARIANT({variant})\n" for variant in variants)
    return _shortened(text, ops.names) if name in ("src/operators.inc", "src/cells.inc") else text


def _shortened(listed: str, names: Collection[str]) -> str:
    """Return a list of operators up to the last of `names`. Others before it only keep their places, which count."""
    ends = [found.end() for found in LISTED.finditer(listed) if found[1] in names]
    kept = listed[: ends[-1]] + "\n"
    return LISTED.sub(lambda found: found[0] if found[1] in names else f"TIDE_NO_OPERATOR({found[1]})", kept)


def _left_out(ops: Ops) -> list[str]:
    """Return the parts of the engine that the build leaves out."""
    listed = LISTED.findall((KERNELS / "src/operators.inc").read_text())
    parts = [part for part, users in (("products", PRODUCTS), ("sums", INTEGER)) if not ops.names & users]
    parts += [] if ops.starts else ["starts"]
    parts += ["floats"] if all(name.startswith("integer_") or name in MOVES for name in ops.names) else []
    return [name for name in listed if name not in ops.names] + parts


def _has_integers(ops: Ops) -> bool:
    return any(name.startswith("integer_") for name in ops.names)


# ---- sizes ----


class PlanSizes(NamedTuple):
    """Bytes of a model and of a stream, features of a frame, floats of each output and of each state vector."""

    model: int
    stream: int
    features: int
    outputs: list[int]
    states: list[int]


def sizes_of(plans: Collection[bytes], target: Target) -> list[PlanSizes]:
    """Return the largest sizes of each plan over the variants of a target, in one image with all of them.

    The engine of this machine checks the plans and computes the sizes. They are the same on every 64-bit machine, and
    a little more than on a 32-bit one.
    """
    sizes = [
        [PlanSizes(*_kernels.sizes(plan, *LAYOUTS.get(variant, IN_PLACE))) for variant in target.variants]
        for plan in plans
    ]
    spared = (MOST_CLOCKS - _most_clocks(plans)) * CLOCK_BYTES // ALIGNMENT * ALIGNMENT
    copies = [len(plan) + ALIGNMENT if target.big_endian else 0 for plan in plans]
    return [
        one[0]._replace(model=max(s.model for s in one) - spared + copied, stream=max(s.stream for s in one))
        for one, copied in zip(sizes, copies, strict=True)
    ]


def _most_clocks(plans: Iterable[bytes]) -> int:
    """Return the most clocks that a model of these plans can have, by its operations."""
    return min(max(read_header(plan).operations for plan in plans) + 1, MOST_CLOCKS)
