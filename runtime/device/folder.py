"""A folder of C code that builds without tidegate: plans, the parts of the engine that they need, and a program.

`tidegate compile m.int8.onnx --target cortex-m4f -o OUT/` writes it, with a report. A plan is a `const` array. The C
files are copies from `runtime/kernels`, which is part of the package. Several models share one engine. The folder is
also a library of five build systems, see `library`.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import DeviceError
from ..files import flush_folder, write_atomic
from .file_list import LIST, as_text, entries_of, read_list, refuse_links, remove_old, write_all
from .library import filled, library_files, named
from .model_files import model_files
from .parts import KERNELS, definitions, engine_files, operations_of, sizes_of
from .targets import Board, Target

UNFINISHED = {
    "Makefile": "$(error this folder was not written to its end: run `tidegate compile` again)\n",
    "CMakeLists.txt": 'message(FATAL_ERROR "this folder was not written to its end: run `tidegate compile` again")\n',
}
PROGRAM = ("number.c", "port.h")  # files of every folder that main.c calls
OMITTED = {"snapshot.c", "group.c"}  # files of src/ that a program with one stream does not need
BARE = "-nostdlib -Tmemory.ld -Wl,--gc-sections"
STACK_BYTES = 3072  # reserved by the program of a microcontroller; `make devices` measures its use


@dataclass(frozen=True)
class DeviceReport:
    """The flash and RAM that a model needs on a device, or several models in one image.

    Attributes:
        target: The name of the target.
        core: The target whose code runs there: itself, or for a chip one of `TARGETS`, with its figures.
        variants: The variants of the engine in the folder, best first; the device takes the first that it has.
        compiler: Version of the compiler that linked the program; None if it is not installed. Then the bytes of code
            are not known.
        plan_bytes: Flash of the plans.
        code_bytes: Flash of the program with the engine.
        flash_bytes: Flash of both.
        model_bytes: RAM of the models; includes packed weights if the variant packs them.
        state_bytes: RAM of the state of a stream of each model.
        scratch_bytes: RAM of the rest of these streams.
        stack_bytes: RAM reserved for the stack.
        ram_bytes: RAM of all of these and of the program itself.
        multiply_adds: Multiply-adds per frame, of one frame of each model.
    """

    target: str
    core: str
    variants: list[str]
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


def write_folder(plans: Mapping[str, bytes], target: Target, folder: Path) -> DeviceReport:
    """Write the folder and return the memory that its models need. If it does not build, nothing is written.

    Args:
        plans: Compiled plans by their names in C; the program runs the first.
        target: The device.
        folder: The folder, which is made if it does not exist. Files of the same names are replaced.

    Raises:
        DeviceError: The compiler of the target is installed and fails, e.g. because the board is too small.
    """
    with tempfile.TemporaryDirectory(prefix="tidegate-") as away:
        trial = Path(away, "folder")
        write_files(plans, target, trial)
        report = _report(plans, target, trial)
    if (folder / "report.json").exists():
        (folder / "report.json").unlink()
        flush_folder(folder)  # else a power cut leaves the report of the older model beside the new one
    write_files(plans, target, folder)
    write_atomic(folder / "report.json", (json.dumps(asdict(report), indent=1) + "\n").encode())
    return report


# ---- the files ----


def write_files(plans: Mapping[str, bytes], target: Target, folder: Path) -> None:
    """Write all files except report.json. If a plan is refused, nothing is written.

    The files of two models must not be built together, even if the writer is killed. So the files that build the folder
    are written last, and until then others in their place say that the folder is not whole. Files of the engine that an
    older model needed are removed, see `file_list`; until then the list has them too.

    Raises:
        DeviceError: A link in the folder leads to another place.
    """
    files = dict(_files(plans, target))
    refuse_links(folder, [*files, LIST])
    builds = {name: files.pop(name) for name in UNFINISHED}
    old, new = read_list(folder), entries_of(files)
    _write(folder, UNFINISHED | {LIST: as_text(old | new)} | files)
    remove_old(folder, old, files)
    _write(folder, {LIST: as_text(new)} | builds)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    write_all(folder, {name: text.encode() for name, text in files.items()})


def _files(plans: Mapping[str, bytes], target: Target) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file."""
    yield from model_files(plans, target)  # checks the plans, so that their fields can be read below
    yield "main.c", named((KERNELS / "device" / "main.c").read_text(), next(iter(plans)))
    yield from ((name, (KERNELS / "device" / name).read_text()) for name in (*PROGRAM, *_ports(target)))
    if target.board is not None:
        yield "memory.ld", _memory(target.board)
    yield from (build_file(name, plans, target) for name in UNFINISHED)
    engine = {f"tidegate/{name}": text for name, text in engine_files(plans.values(), target.variants, OMITTED)}
    yield from engine.items()
    yield from library_files(plans, target, engine)


def _ports(target: Target) -> list[str]:
    return ["port_stdio.c"] if target.board is None else ["port_semihosting.c", "startup.c"]


def _memory(board: Board) -> str:
    lines = [
        f"  {name} : ORIGIN = {start:#x}, LENGTH = {size:#x}"
        for name, (start, size) in (("FLASH", board.flash), ("RAM", board.ram))
    ]
    text = (KERNELS / "device" / "memory.ld").read_text()
    return text.replace("@MEMORY@", "MEMORY {\n" + "\n".join(lines) + "\n}").replace("@STACK@", str(STACK_BYTES))


def build_file(name: str, plans: Mapping[str, bytes], target: Target) -> tuple[str, str]:
    """Return name and text of the Makefile or the CMakeLists.txt."""
    bare = target.board is not None
    fields = {
        "TARGET": f"{target.name}, {target.processor}",
        "NAME": target.name,
        "CC": target.compiler,
        "FLAGS": " ".join([*target.flags, *definitions(plans.values(), target.variants)]),
        "SOURCES": " ".join([*(f"{name}.c" for name in plans), "number.c", *_ports(target)]),
        "LINK": (BARE if bare else "-Wl,--gc-sections") if target.linked else "-nostdlib -r",
        "LIBRARIES": ("-lc -lgcc" if bare else "-lm") if target.linked else "",
        "NEEDS": "model" if target.linked else "",
        "RUN": _run(target),
        "FRAME_BYTES": str(4 * sizes_of([next(iter(plans.values()))], target)[0].features),
        "SYSTEM": "Generic" if bare else "Linux",
    }
    return name, filled(KERNELS / "device" / f"{name}.in", fields)


def _run(target: Target) -> str:
    """Return the lines of the Makefile that run the program, or say why it does not run here."""
    if not target.linked:
        said = f"{target.name}: the program is linked and run by ESP-IDF, of which this folder is a component"
        return f'\t@echo "{said}" >&2; exit 1'
    command = target.command
    if not command:
        return "\t@$(INPUT) | ./model"
    missing = f"{command[0]} is not installed; it runs programs for {target.name} on this machine"
    check = f'\t@command -v {command[0]} >/dev/null || {{ echo "{missing}" >&2; exit 1; }}'
    return f"{check}\n\t@$(INPUT) | {' '.join(command)} {'' if target.board else './'}model"


# ---- the report ----


def _report(plans: Mapping[str, bytes], target: Target, folder: Path) -> DeviceReport:
    compiler, (flash, ram) = _linked(target, folder)
    return report_of(plans.values(), target, compiler, flash, ram)


def report_of(
    plans: Collection[bytes], target: Target, compiler: str | None, flash: int | None, ram: int | None = None
) -> DeviceReport:
    """Return the memory of models on a target.

    Args:
        plans: Compiled plans.
        target: The target.
        compiler: The version of its compiler; None if it is not installed.
        flash: The bytes of flash, the plans' among them; None if nothing was built.
        ram: The bytes of RAM of a program; None: those of models, streams and stack.
    """
    sizes = sizes_of(plans, target)
    models, streams = sum(one.model for one in sizes), sum(one.stream for one in sizes)
    count = sum(map(len, plans))
    state, stack = 4 * sum(sum(one.states) for one in sizes), STACK_BYTES if target.board is not None else 0
    return DeviceReport(
        target=target.name,
        core=target.core or target.name,
        variants=target.variants,
        compiler=compiler,
        plan_bytes=count,
        code_bytes=None if flash is None else flash - count,
        flash_bytes=flash,
        model_bytes=models,
        state_bytes=state,
        scratch_bytes=streams - state,
        stack_bytes=stack,
        ram_bytes=models + streams + stack if ram is None else ram,
        multiply_adds=operations_of(plans).multiply_adds,
    )


def _linked(target: Target, folder: Path) -> tuple[str | None, tuple[int | None, int | None]]:
    """Build the folder if the compiler is installed; return its version and the bytes of flash and RAM."""
    if not all(map(shutil.which, (target.compiler, "make", target.tool("size")))):
        return None, (None, None)
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
