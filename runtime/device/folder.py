"""A folder of C code that builds without tidegate: a plan, the parts of the engine that it needs, and a program.

`tidegate compile m.int8.onnx --target cortex-m4f -o OUT/` writes it, with a report. The plan is a `const` array. The C
files are copies from `runtime/kernels`, which is part of the package.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from .. import _kernels
from ..errors import DeviceError
from ..files import write_atomic
from ..load import naming, plan_of
from ..operators import OPERATORS, Backward, Embedding, Folded
from ..operators.cells_with_options import FLOAT_CELLS
from ..plan import writer as plans
from ..plan.magic import text_of
from ..plan.text import Text, read_text
from .file_list import LIST, as_text, entries_of, read_list, refuse_links, remove_old
from .targets import IN_PLACE, LAYOUTS, TARGETS, Board, Target

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
UNFINISHED = {
    "Makefile": "$(error this folder was not written to its end: run `tidegate compile` again)\n",
    "CMakeLists.txt": 'message(FATAL_ERROR "this folder was not written to its end: run `tidegate compile` again")\n',
}
STAMPED = """#include "model.h"
#if MODEL_STAMP != @STAMP@
#error "model.c and model.h are of two models: run `tidegate compile` again"
#endif
"""
OMITTED = {"snapshot.c", "group.c"}  # files of src/ that a program with one stream does not need
STACK_BYTES = 3072  # reserved by the program of a microcontroller; `make devices` measures its use
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
INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
LISTED = re.compile(r"^TIDE_OPERATOR\((\w+)\)$", re.MULTILINE)


@dataclass(frozen=True)
class DeviceReport:
    """The flash and RAM that a model needs on a device.

    Attributes:
        target: The name of the target.
        compiler: Version of the compiler that linked the program; None if it is not installed. Then the bytes of code
            are not known.
        plan_bytes: Flash of the plan.
        code_bytes: Flash of the program with the engine.
        flash_bytes: Flash of both.
        model_bytes: RAM of the model; includes packed weights if the variant packs them.
        state_bytes: RAM of the state of a stream.
        scratch_bytes: RAM of the rest of a stream.
        stack_bytes: RAM reserved for the stack.
        ram_bytes: RAM of all of these and of the program itself.
        multiply_adds: Multiply-adds per frame.
    """

    target: str
    compiler: str | None
    plan_bytes: int
    code_bytes: int | None
    flash_bytes: int | None
    model_bytes: int
    state_bytes: int
    scratch_bytes: int
    stack_bytes: int
    ram_bytes: int
    multiply_adds: int


class Ops(NamedTuple):
    """The operators of a plan by the names of their files, and its multiply-adds per frame."""

    names: set[str]
    multiply_adds: int


def write_device_folder(source: str | os.PathLike[str], target: str, folder: str | os.PathLike[str]) -> DeviceReport:
    """Write a folder of C code that runs a model on a device, and return the memory that the model needs there.

    Args:
        source: A streaming ONNX file or a compiled plan.
        target: Name of the device, a key of `tidegate.runtime.device.targets.TARGETS`, e.g. `cortex-m4f`.
        folder: The folder, which is made if it does not exist. Files of the same names are replaced, and files of an
            older model's engine are removed.

    Raises:
        DeviceError: There is no such target, or its compiler is installed and fails, e.g. because the board is too
            small, or a link in the folder leads to another place. Nothing is written.
        ModelError: The file is not a model, or has an operator or option that the engine does not have.
        FileNotFoundError: There is no such file.
    """
    if target not in TARGETS:
        raise DeviceError(f"target {target!r} is unknown; wanted one of {', '.join(TARGETS)}")
    with naming(source):
        return write_folder(plan_of(source), TARGETS[target], Path(folder))


def write_folder(plan: bytes, target: Target, folder: Path) -> DeviceReport:
    """Write the folder and return the memory that the model needs. If it does not build, nothing is written.

    Args:
        plan: A compiled plan.
        target: The device.
        folder: The folder, which is made if it does not exist. Files of the same names are replaced.

    Raises:
        DeviceError: The compiler of the target is installed and fails, e.g. because the board is too small.
    """
    with tempfile.TemporaryDirectory(prefix="tidegate-") as away:
        trial = Path(away, "folder")
        write_files(plan, target, trial)
        report = _report(plan, target, trial)
    (folder / "report.json").unlink(missing_ok=True)
    write_files(plan, target, folder)
    write_atomic(folder / "report.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
    return report


# ---- the files ----


def write_files(plan: bytes, target: Target, folder: Path) -> None:
    """Write all files except report.json. If the plan is refused, nothing is written.

    The files of two models must not be built together, even if the writer is killed. So the files that build the folder
    are written last, and until then others in their place say that the folder is not whole. Files of the engine that an
    older model needed are removed, see `file_list`; until then the list has them too.

    Raises:
        DeviceError: A link in the folder leads to another place.
    """
    files = dict(_files(plan, target))
    refuse_links(folder, [*files, LIST])
    builds = {name: files.pop(name) for name in UNFINISHED}
    old, new = read_list(folder), entries_of(files)
    _write(folder, UNFINISHED | {LIST: as_text(old | new)} | files)
    remove_old(folder, old, files)
    _write(folder, {LIST: as_text(new)} | builds)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, text.encode())


def _files(plan: bytes, target: Target) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file."""
    sizes = sizes_of(plan, target)  # checks the plan, so that its fields can be read below
    ops = _operations(plan)
    programs = ["main.c", "number.c", "port.h", *_ports(target)]
    yield from ((name, (KERNELS / "device" / name).read_text()) for name in programs)
    header = _model_header(sizes, _named_places(read_text(text_of(plan))))
    stamp = f"{crc32(header.encode(), crc32(plan)):#010x}u"
    yield "model.c", STAMPED.replace("@STAMP@", stamp) + plans.c_source(plan, "model")
    yield "model.h", header.replace("@STAMP@", stamp)
    if target.board is not None:
        yield "memory.ld", _memory(target.board)
    yield from (build_file(name, plan, target) for name in UNFINISHED)
    omitted = OMITTED | (set() if ops.names & PRODUCTS else FOR_PRODUCTS)
    omitted |= set() if _has_integers(ops) else {"fixed.c"}
    sources = [path for path in (KERNELS / "src").glob("*.c") if path.name not in omitted]
    sources += [KERNELS / "operators" / f"{name}.c" for name in ops.names]
    sources += [KERNELS / "variants" / f"{name}.c" for name in target.variants]
    for path in sorted(_with_headers([*sources, KERNELS / "include/tidegate.h"])):
        name = path.relative_to(KERNELS).as_posix()
        yield f"tidegate/{name}", _fitted(name, path.read_text(), ops, target)


def _ports(target: Target) -> list[str]:
    return ["port_stdio.c"] if target.board is None else ["port_semihosting.c", "startup.c"]


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


def _fitted(name: str, text: str, ops: Ops, target: Target) -> str:
    """Return the text of a file; lists of variants and operators keep only those of this target and model."""
    if name == "src/variants.inc":
        return "".join(f"TIDE_VARIANT({variant})\n" for variant in target.variants)
    if name in ("src/operators.inc", "src/cells.inc"):
        return LISTED.sub(lambda found: found[0] if found[1] in ops.names else f"TIDE_NO_OPERATOR({found[1]})", text)
    return text


def _model_header(sizes: "PlanSizes", places: str) -> str:
    return f"""/* The plan in model.c, and the memory that it needs on this target. */
#include <stddef.h>

#define MODEL_STAMP @STAMP@ /* model.c has the same */

extern const unsigned char model_plan[];
extern const size_t model_plan_bytes;

enum {{
  MODEL_MEMORY = {sizes.model},
  STREAM_MEMORY = {sizes.stream},
  MODEL_FEATURES = {sizes.features}, /* of a frame */
  MODEL_OUTPUTS = {len(sizes.outputs)},
  MODEL_ANSWERS = {sum(sizes.outputs)}, /* floats of all outputs, of one frame */
{places}}};
"""


def _named_places(text: Text) -> str:
    """Return enumerators: the first feature and the features of each signal, and the state vector of static inputs."""
    lines, first = [], 0
    for piece in text.contract.pieces:
        name = _c_name(piece.name)
        lines.append(f"  MODEL_SIGNAL_{name} = {first}, /* its first feature in a frame */")
        lines.append(f"  MODEL_SIGNAL_{name}_FEATURES = {piece.features},")
        first += piece.features
    static = [state.input for state in text.contract.states if state.kind == "static"]
    vectors = {slot.name: number for number, slot in enumerate(text.slots)}
    lines += [f"  MODEL_STATIC_{_c_name(n)} = {vectors[n]}, /* for tide_state_write */" for n in static if n in vectors]
    return "".join(f"{line}\n" for line in lines)


def _c_name(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII).upper()


def _memory(board: Board) -> str:
    lines = [
        f"  {name} : ORIGIN = {start:#x}, LENGTH = {size:#x}"
        for name, (start, size) in (("FLASH", board.flash), ("RAM", board.ram))
    ]
    text = (KERNELS / "device" / "memory.ld").read_text()
    return text.replace("@MEMORY@", "MEMORY {\n" + "\n".join(lines) + "\n}").replace("@STACK@", str(STACK_BYTES))


def build_file(name: str, plan: bytes, target: Target) -> tuple[str, str]:
    """Return name and text of the Makefile or the CMakeLists.txt."""
    ops, bare = _operations(plan), target.board is not None
    most = {"OPS": plans.read_header(plan).operations, "CLOCKS": _clocks(plan)}
    defined = [
        *(f"-DTIDE_MAX_{what}={count}" for what, count in most.items()),
        *(f"-DTIDE_WITHOUT_{name}" for name in _left_out(ops)),
    ]
    fields = {
        "TARGET": f"{target.name}, {target.processor}",
        "CC": target.compiler,
        "FLAGS": " ".join([*target.flags, *defined]),
        "SOURCES": " ".join(["model.c", "number.c", *_ports(target)]),
        "LINK": "-nostdlib -Tmemory.ld -Wl,--gc-sections" if bare else "-Wl,--gc-sections",
        "LIBRARIES": "-lc -lgcc" if bare else "-lm",
        "SYSTEM": "Generic" if bare else "Linux",
    }
    text = (KERNELS / "device" / f"{name}.in").read_text()
    return name, re.sub(r"@(\w+)@", lambda found: fields[found[1]], text)


# ---- sizes ----


class PlanSizes(NamedTuple):
    """Bytes of a model and of a stream, features of a frame, floats of each output and of each state vector."""

    model: int
    stream: int
    features: int
    outputs: list[int]
    states: list[int]


def sizes_of(plan: bytes, target: Target) -> PlanSizes:
    """Return the largest sizes of a plan over the variants of a target.

    The engine of this machine computes them. They are the same on every 64-bit machine, and a little more than on a
    32-bit one.
    """
    sizes = [PlanSizes(*_kernels.sizes(plan, *LAYOUTS.get(variant, IN_PLACE))) for variant in target.variants]
    spared = max(0, MOST_CLOCKS - _clocks(plan)) * CLOCK_BYTES // plans.ALIGNMENT * plans.ALIGNMENT
    copied = len(plan) + plans.ALIGNMENT if target.big_endian else 0
    model = max(s.model for s in sizes) - spared + copied
    return sizes[0]._replace(model=model, stream=max(s.stream for s in sizes))


def _clocks(plan: bytes) -> int:
    """Return the most clocks that a model with this number of operations can have."""
    return min(plans.read_header(plan).operations + 1, MOST_CLOCKS)


def _operations(plan: bytes) -> Ops:
    header = plans.read_header(plan)
    names: set[str] = set()
    total = 0
    snake = [re.sub(r"(?<!^)(?=[A-Z])", "_", operator.__name__).lower() for operator in OPERATORS]
    for index in range(header.operations):
        record = plans.OP.unpack_from(plan, header.operations_at + index * plans.OP.size)
        names.add(snake[record[0] - 1])
        if OPERATORS[record[0] - 1] in (Backward, Folded):
            names.add(snake[OPERATORS.index(FLOAT_CELLS[record[4] - 1])])
        if OPERATORS[record[0] - 1] is not Embedding:
            matrices = (plans.MATRIX.unpack(part) for part in record[12:15])
            total += sum(rows * columns for _, _, rows, columns, *_ in matrices)
    return Ops(names, total)


def _left_out(ops: Ops) -> list[str]:
    """Return the parts of the engine that the build leaves out."""
    listed = LISTED.findall((KERNELS / "src/operators.inc").read_text())
    parts = [part for part, users in (("products", PRODUCTS), ("sums", INTEGER)) if not ops.names & users]
    parts += ["floats"] if all(name.startswith("integer_") or name in MOVES for name in ops.names) else []
    return [name for name in listed if name not in ops.names] + parts


def _has_integers(ops: Ops) -> bool:
    return any(name.startswith("integer_") for name in ops.names)


def _report(plan: bytes, target: Target, folder: Path) -> DeviceReport:
    sizes = sizes_of(plan, target)
    state, stack = 4 * sum(sizes.states), STACK_BYTES if target.board is not None else 0
    compiler, image = _linked(target, folder)
    flash, ram = image or (None, sizes.model + sizes.stream + stack)
    return DeviceReport(
        target=target.name,
        compiler=compiler,
        plan_bytes=len(plan),
        code_bytes=None if flash is None else flash - len(plan),
        flash_bytes=flash,
        model_bytes=sizes.model,
        state_bytes=state,
        scratch_bytes=sizes.stream - state,
        stack_bytes=stack,
        ram_bytes=ram,
        multiply_adds=_operations(plan).multiply_adds,
    )


def _linked(target: Target, folder: Path) -> tuple[str | None, tuple[int, int] | None]:
    """Build the folder if the compiler is installed; return its version and the bytes of flash and RAM."""
    if not all(map(shutil.which, (target.compiler, "make", target.tool("size")))):
        return None, None
    make = ["make", "-s", "-C", str(folder)]
    done = subprocess.run(make, capture_output=True, text=True, check=False)  # noqa: S603  the folder is ours
    if done.returncode:
        raise DeviceError(f"{target.compiler} fails for {target.name}: {done.stderr.strip()[-400:]}")
    return _output(target.compiler, "--version").partition("\n")[0], image_bytes(target, folder)


def image_bytes(target: Target, folder: Path) -> tuple[int, int]:
    """Return the bytes of flash and RAM: of the program of a microcontroller, else of the object files."""
    files = [folder / "model"] if target.board is not None else sorted((folder / "build").rglob("*.o"))
    rows = [
        list(map(int, line.split()[:3])) for line in _output(target.tool("size"), *map(str, files)).splitlines()[1:]
    ]
    return sum(text + data for text, data, _ in rows), sum(data + bss for _, data, bss in rows)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  from the table
