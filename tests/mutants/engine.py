"""Mutants of the engine in C, judged by its test programs under the sanitizers."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzzing.plans import reference_plans
from kernels.building import KERNELS, float_vectors, run, vectors
from mutants.choosing import ROOT, Mutant

SECONDS = 200  # a mutant that takes longer has hung
# One variant with packed weights, and plain C.
VARIANTS = ("avx2", "scalar")
PLAIN = ["-std=gnu11", "-g1", "-fno-fast-math", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-w"]
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DTIDE_RED_ZONES")
PROGRAMS = ("check_variants", "replay", "undoing", "groups", "damage", "realtime")
SHARED = ("running", "random_plan", "trying", "group_world")
ROOMS = ("src", "operators")  # whose lines are mutated


class Engine:
    """Build the engine once in a folder, then one object and the programs for each mutant."""

    language = "c"
    files = tuple(sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (KERNELS / room).glob("*.c")))

    def __init__(self, folder: Path, flags: Sequence[str] = SANITIZED) -> None:
        """Build in `folder` with compiler flags; what is there is built again only if its source is newer."""
        folder.mkdir(parents=True, exist_ok=True)
        self.flags = [*PLAIN, *flags]
        self.sound = False  # whether every program passes without a mutant
        self.folder, self.copy = folder, folder / "kernels"
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(KERNELS, self.copy)
        list_of_variants = self.copy / "src/variants.inc"
        lines = list_of_variants.read_text().splitlines(keepends=True)
        kept = {f"TIDE_VARIANT({name})\n" for name in VARIANTS}
        list_of_variants.write_text("".join(x for x in lines if x in kept or not x.startswith("TIDE_VARIANT")))
        names = [f"variants/{name}" for name in VARIANTS]
        names += [f"{room}/{path.stem}" for room in ROOMS for path in sorted((self.copy / room).glob("*.c"))]
        names += [f"tests/{name}" for name in (*PROGRAMS, *SHARED)]
        with ThreadPoolExecutor(2) as pool:
            self.objects = dict(zip(names, pool.map(self.compile, names), strict=True))
        self.plans = []
        for name, plan in reference_plans().items():
            (folder / f"{name}.tide").write_bytes(plan)
            self.plans.append(folder / name)

    def compile(self, name: str) -> Path:
        """Compile a source of the copy; return its object."""
        source, target = self.copy / f"{name}.c", self.folder / f"{name.replace('/', '_')}.o"
        read = [KERNELS / f"{name}.c", *KERNELS.rglob("*.h"), *KERNELS.rglob("*.inc")]
        newest = max(path.stat().st_mtime for path in read)
        if not target.exists() or target.stat().st_mtime < newest:
            # A variant takes minutes to compile under the sanitizers, and is not mutated.
            flags = [*PLAIN, "-O1"] if name.startswith("variants/") else self.flags
            run("cc", *flags, f"-I{self.copy / 'include'}", "-c", source, "-o", target)
        return target

    def commands(self) -> list[list[str | Path]]:
        """Return the programs with their arguments, the quickest first."""
        here = {name: self.folder / name for name in PROGRAMS}
        return [
            [here["undoing"], "40", *self.plans],
            [here["replay"], *vectors()],
            [here["check_variants"], "60"],
            [here["undoing"], "40", *vectors()],
            [here["groups"], "40", "9", *vectors()],
            [here["groups"], "60", "3"],
            [here["damage"], "97", *self.plans],
            [here["realtime"], *float_vectors()],
        ]

    def link(self, objects: dict[str, Path], name: str) -> None:
        """Link a program."""
        others = [path for other, path in objects.items() if not other.startswith("tests/")]
        shared = [objects[f"tests/{part}"] for part in (name, *SHARED)]
        run("cc", *self.flags, *shared, *others, "-lm", "-o", self.folder / name)

    def judge(self, mutant: Mutant, name: str = "") -> str | None:
        """Return what killed a mutant: the name of a program, or `time`. Nothing: it lives. None: it is no program.

        Args:
            mutant: The changed line.
            name: The object to compile again; a header has none of its own.

        Raises:
            SystemExit: A program fails without a mutant.
        """
        if not self.sound:
            if failing := self.killer(self.objects):
                sys.exit(f"{failing} fails without a mutant; see `python -m pytest tests/kernels`")
            self.sound = True
        place = Path(mutant.file).relative_to(KERNELS.relative_to(ROOT))
        name, target = name or str(place.with_suffix("")), self.folder / "mutant.o"
        flags = [*self.flags, "-Werror=implicit-function-declaration", f"-I{self.copy / 'include'}"]
        compiler = ["cc", *flags, "-c", str(self.copy / f"{name}.c"), "-o", str(target)]
        (self.copy / place).write_text(mutant.text())
        built = subprocess.run(compiler, capture_output=True, check=False)
        shutil.copy(KERNELS / place, self.copy / place)
        return None if built.returncode else self.killer(self.objects | {name: target})

    def killer(self, objects: dict[str, Path]) -> str:
        """Return the first program that fails with these objects, or nothing."""
        linked: set[str] = set()
        for command in self.commands():
            program = Path(command[0]).name
            if program not in linked:
                self.link(objects, program)
                linked.add(program)
            if failing := self.fails(command):
                return failing
        return ""

    def fails(self, command: list[str | Path]) -> str:
        """Return the name of a program that fails, or nothing."""
        try:
            done = subprocess.run(list(map(str, command)), capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return "time"
        return Path(command[0]).name if done.returncode else ""
