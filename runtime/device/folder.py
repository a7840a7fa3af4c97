"""A folder that builds by itself: a plan, the part of the engine that it needs, a program, and a report.

`tidegate compile m.int8.onnx --target cortex-m4f -o OUT/` writes it. The plan is a `const` array; the C files are those
of `runtime/kernels`, which the package brings along.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from .. import _kernels
from ..errors import DeviceError
from ..files import write_atomic
from ..operators import OPERATORS, Embedding
from ..plan import writer as plans
from .targets import LAYOUTS, Board, Target

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
OMITTED = {"snapshot.c", "group.c"}  # of src/: what a program of one stream does not call
STACK_BYTES = 3072  # what a microcontroller's program keeps; `make devices` measures what it uses
MOST_CLOCKS, CLOCK_BYTES = 64, 16  # of src/clocks.h: a build for one model leaves out those that it cannot have
# Operators that multiply by weights as a variant encodes and projects; the rest of these are the integer ones.
PRODUCTS = {"lstm", "gru", "rnn", "linear", "lstm_projected", "backward"}
FOR_PRODUCTS = {"pack.c", "project.c"}  # of src/: what they call
INTEGER = {"integer_lstm", "integer_gru", "integer_linear"}
INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
LISTED = re.compile(r"^TIDE_OPERATOR\((\w+)\)$", re.MULTILINE)


@dataclass(frozen=True)
class Report:
    """What a model takes on a device.

    Attributes:
        target: Its name.
        compiler: What linked the program; None: it is not installed here, and the code's bytes are not known.
        plan_bytes: Flash of the model.
        code_bytes: Flash of the program, the engine within.
        flash_bytes: Both together.
        model_bytes: RAM of a model; where the variant packs weights, their copy is within.
        state_bytes: RAM of what is carried from frame to frame.
        scratch_bytes: RAM of the rest of a stream.
        stack_bytes: RAM kept for the stack.
        ram_bytes: All of these, and the few bytes of the program's own.
        multiply_adds: Of a frame.
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
    """What a plan's operations ask for: operators by their file's name, and multiply-adds of a frame."""

    names: set[str]
    multiply_adds: int


def write_folder(plan: bytes, target: Target, folder: Path) -> Report:
    """Write the folder and return what the model takes on the device; nothing is written where it does not build.

    Args:
        plan: A compiled plan.
        target: The device.
        folder: Where to write; made if it is not there. Files of the same names in it are replaced.

    Raises:
        DeviceError: The target's compiler is there and fails, e.g. because the board is too small.
    """
    with tempfile.TemporaryDirectory(prefix="tidegate-") as away:
        trial = Path(away, "folder")
        write_files(plan, target, trial)
        report = _report(plan, target, trial)
    write_files(plan, target, folder)
    write_atomic(folder / "report.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
    return report


# ---- the files ----


def write_files(plan: bytes, target: Target, folder: Path) -> None:
    """Write all but report.json; nothing where the plan is refused."""
    for name, text in list(_files(plan, target)):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, text.encode())


def _files(plan: bytes, target: Target) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file."""
    sizes = sizes_of(plan, target)  # which checks the plan: what is read of it afterwards is there
    ops = _operations(plan)
    programs = ["main.c", "number.c", "port.h", *_ports(target)]
    yield from ((name, (KERNELS / "device" / name).read_text()) for name in programs)
    yield "model.c", plans.c_source(plan, "model")
    yield "model.h", _model_header(sizes)
    if target.board is not None:
        yield "memory.ld", _memory(target.board)
    yield from (build_file(name, plan, target) for name in ("Makefile", "CMakeLists.txt"))
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
    """Return files and all that they include, directly or not."""
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
    """Return a file, the lists in it cut down to what this model and target need."""
    if name == "src/variants.inc":
        return "".join(f"TIDE_VARIANT({variant})\n" for variant in target.variants)
    if name == "src/operators.inc":
        return LISTED.sub(lambda found: found[0] if found[1] in ops.names else f"TIDE_NO_OPERATOR({found[1]})", text)
    return text


def _model_header(sizes: "Sizes") -> str:
    return f"""/* The plan in model.c, and the memory that it needs on this target. */
#include <stddef.h>

extern const unsigned char model_plan[];
extern const size_t model_plan_bytes;

enum {{
  MODEL_MEMORY = {sizes.model},
  STREAM_MEMORY = {sizes.stream},
  MODEL_FEATURES = {sizes.features}, /* of a frame */
  MODEL_OUTPUTS = {len(sizes.outputs)},
  MODEL_ANSWERS = {sum(sizes.outputs)}, /* floats of all outputs, of one frame */
}};
"""


def _memory(board: Board) -> str:
    lines = [
        f"  {name} : ORIGIN = {start:#x}, LENGTH = {size:#x}"
        for name, (start, size) in (("FLASH", board.flash), ("RAM", board.ram))
    ]
    text = (KERNELS / "device" / "memory.ld").read_text()
    return text.replace("@MEMORY@", "MEMORY {\n" + "\n".join(lines) + "\n}").replace("@STACK@", str(STACK_BYTES))


def build_file(name: str, plan: bytes, target: Target) -> tuple[str, str]:
    """Return the Makefile or the CMakeLists.txt, its name first."""
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


# ---- what it takes ----


class Sizes(NamedTuple):
    """Bytes of a model and of a stream; features of a frame; floats of each output and each state vector."""

    model: int
    stream: int
    features: int
    outputs: list[int]
    states: list[int]


def sizes_of(plan: bytes, target: Target) -> Sizes:
    """Return the sizes of a plan on a target: the most of its variants.

    Those of the engine of this machine: the same on every 64-bit one, a little more than on a 32-bit one.
    """
    sizes = [Sizes(*_kernels.sizes(plan, *LAYOUTS.get(variant, (0, 0, 0)))) for variant in target.variants]
    spared = max(0, MOST_CLOCKS - _clocks(plan)) * CLOCK_BYTES // plans.ALIGNMENT * plans.ALIGNMENT
    copied = len(plan) + plans.ALIGNMENT if target.big_endian else 0
    model = max(s.model for s in sizes) - spared + copied
    return sizes[0]._replace(model=model, stream=max(s.stream for s in sizes))


def _clocks(plan: bytes) -> int:
    """Return how many clocks a model of so many operations has at most."""
    return min(plans.read_header(plan).operations + 1, MOST_CLOCKS)


def _operations(plan: bytes) -> Ops:
    header = plans.read_header(plan)
    names: set[str] = set()
    total = 0
    snake = [re.sub(r"(?<!^)(?=[A-Z])", "_", operator.__name__).lower() for operator in OPERATORS]
    for index in range(header.operations):
        record = plans.OP.unpack_from(plan, header.operations_at + index * plans.OP.size)
        names.add(snake[record[0] - 1])
        if OPERATORS[record[0] - 1] is not Embedding:
            matrices = (plans.MATRIX.unpack(part) for part in record[12:15])
            total += sum(rows * columns for _, _, rows, columns, *_ in matrices)
    return Ops(names, total)


def _left_out(ops: Ops) -> list[str]:
    """Return what the engine's sources may leave out; a backward cell steps as any of the forward ones."""
    listed = LISTED.findall((KERNELS / "src/operators.inc").read_text())
    needed = ops.names | ({"lstm", "gru", "rnn"} if "backward" in ops.names else set())
    parts = [part for part, users in (("products", PRODUCTS), ("sums", INTEGER)) if not ops.names & users]
    return [name for name in listed if name not in needed] + parts


def _has_integers(ops: Ops) -> bool:
    return any(name.startswith("integer_") for name in ops.names)


def _report(plan: bytes, target: Target, folder: Path) -> Report:
    sizes = sizes_of(plan, target)
    state, stack = 4 * sum(sizes.states), STACK_BYTES if target.board is not None else 0
    compiler, image = _linked(target, folder)
    flash, ram = image or (None, sizes.model + sizes.stream + stack)
    return Report(
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
    """Build the folder where the compiler is installed; return its version and the bytes of flash and RAM."""
    if not all(map(shutil.which, (target.compiler, "make", target.tool("size")))):
        return None, None
    make = ["make", "-s", "-C", str(folder)]
    done = subprocess.run(make, capture_output=True, text=True, check=False)  # noqa: S603  the folder is ours
    if done.returncode:
        raise DeviceError(f"{target.compiler} fails for {target.name}: {done.stderr.strip()[-400:]}")
    return _output(target.compiler, "--version").partition("\n")[0], image_bytes(target, folder)


def image_bytes(target: Target, folder: Path) -> tuple[int, int]:
    """Return the bytes of flash and RAM of a microcontroller's program, or of the objects of one for a system."""
    files = [folder / "model"] if target.board is not None else sorted((folder / "build").rglob("*.o"))
    rows = [
        list(map(int, line.split()[:3])) for line in _output(target.tool("size"), *map(str, files)).splitlines()[1:]
    ]
    return sum(text + data for text, data, _ in rows), sum(data + bss for _, data, bss in rows)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  from the table
