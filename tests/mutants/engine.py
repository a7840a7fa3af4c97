"""Mutants of the engine in C, judged by its test programs: first built plainly, then under the sanitizers.

What lives is built into the extension too, for the tests in Python have every variant of this processor.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from fuzzing.plans import reference_plans
from kernels.building import KERNELS, engine_with, float_vectors, run, vectors
from mutants.binding import MODULE, binding_with
from mutants.choosing import ROOT, SAME, Mutant
from mutants.runs import run_tests

# One variant with packed weights, and plain C.
VARIANTS = ("avx2", "scalar")
COMMON = ["-std=gnu11", "-fno-fast-math", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
PLAIN = ("-O2", "-g0")  # no line numbers: the same object is the same code
SANITIZED = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DTIDE_RED_ZONES")
PROGRAMS = ("refusals", "turned", "misuse", "check_variants", "replay", "undoing", "groups", "damage", "realtime")
SHARED = ("running", "random_plan", "trying", "group_world")
ROOMS = ("src", "operators")  # whose lines are mutated
NO_PROGRAM = (
    "-Werror=implicit-function-declaration",
    "-Werror=incompatible-pointer-types",
    "-Werror=int-conversion",
    "-Werror=return-type",
)
REFUSALS = ROOT / "tests/kernels/refusals.txt"
IN_PYTHON = (
    "runtime/test_engine.py",
    "runtime/test_snapshot.py",
    "runtime/test_given_states.py",
    "runtime/plan/test_refused_records.py",
    "export/test_several_signals.py",
)


@dataclass(frozen=True)
class Command:
    """A program with its arguments and the plans that it takes; one without plans makes random ones.

    Attributes:
        table: What it prints; nothing: anything.
        slow: It takes seconds.
    """

    program: str
    arguments: tuple[str, ...]
    plans: tuple[Path, ...] = ()
    table: bytes = b""
    slow: bool = False


def commands(folder: Path) -> list[Command]:
    """Return what judges, the quickest first; the reference plans are written to `folder`."""
    for name, plan in reference_plans().items():
        (folder / f"{name}.tide").write_bytes(plan)
    small, golden = tuple(folder / name for name in reference_plans()), tuple(vectors())
    return [
        Command("undoing", ("40",), small),
        Command("replay", (), golden),
        Command("check_variants", ("60",)),
        Command("refusals", (), small, REFUSALS.read_bytes()),
        Command("turned", (), golden),
        Command("misuse", (), (*small, *golden)),
        Command("groups", ("60", "3")),
        Command("undoing", ("40",), golden, slow=True),
        Command("damage", ("97",), small, slow=True),
        Command("groups", ("40", "9"), golden, slow=True),
        Command("realtime", (), tuple(float_vectors()), slow=True),
    ]


@cache
def operators_of(stem: Path) -> set[str]:
    """Return the operators of a plan; docs/plan.md has the places of its header."""
    plan = stem.with_suffix(".tide").read_bytes()
    count, table = int.from_bytes(plan[56:60], "little"), int.from_bytes(plan[72:80], "little")
    kinds = {int.from_bytes(plan[at : at + 4], "little") for at in range(table, table + 256 * count, 256)}
    listed = re.findall(r"^TIDE_OPERATOR\((\w+)\)", (KERNELS / "src/operators.inc").read_text(), re.MULTILINE)
    return {listed[kind - 1] for kind in kinds}


def that_reach(command: Command, name: str) -> Command | None:
    """Return a command with the plans alone that can reach an object; none if there are none left.

    A file of operators/ is reached by plans that have its operator, or one that runs cells of others, and by no more:
    it shares nothing but its table.
    """
    room, operator = name.split("/")
    if not command.plans or command.table or room != "operators":
        return command
    reaching = {operator, "backward", "folded"}
    left = tuple(stem for stem in command.plans if reaching & operators_of(stem))
    return replace(command, plans=left) if left else None


class Build:
    """The engine and its programs, built once in a folder with the same flags; then an object for each mutant."""

    def __init__(self, folder: Path, flags: Sequence[str]) -> None:
        """Build in `folder`; what is there is built again only if its source is newer."""
        folder.mkdir(parents=True, exist_ok=True)
        self.flags, self.folder, self.copy = [*COMMON, *flags], folder, folder / "kernels"
        self.seconds: dict[int, float] = {}  # what each command takes without a mutant
        shutil.rmtree(self.copy, ignore_errors=True)
        engine_with(VARIANTS, folder)
        names = [f"variants/{name}" for name in VARIANTS]
        names += [f"{room}/{path.stem}" for room in ROOMS for path in sorted((self.copy / room).glob("*.c"))]
        names += [f"tests/{name}" for name in (*PROGRAMS, *SHARED)]
        with ThreadPoolExecutor(2) as pool:
            self.objects = dict(zip(names, pool.map(self.compile, names), strict=True))
        self.objects["programs"] = self.one_program()
        self.commands = commands(folder)

    def compiler(self, name: str, target: Path, *more: str) -> list[str | Path]:
        """Return the command that compiles a source of the copy."""
        # A variant takes minutes to compile under the sanitizers, and is not mutated.
        flags = [*COMMON, "-O1"] if name.startswith("variants/") else self.flags
        if name.removeprefix("tests/") in PROGRAMS:
            more = (*more, f"-Dmain=main_of_{name.removeprefix('tests/')}")
        return ["cc", *flags, *more, f"-I{self.copy / 'include'}", "-c", self.copy / f"{name}.c", "-o", target]

    def compile(self, name: str) -> Path:
        """Compile a source of the copy; return its object. That of a variant serves every build."""
        room = name.partition("/")[0]
        target = (self.folder.parent if room == "variants" else self.folder) / f"{name.replace('/', '_')}.o"
        read = [KERNELS / f"{name}.c", *KERNELS.rglob("*.h"), *KERNELS.rglob("*.inc")]
        newest = max(path.stat().st_mtime for path in read)
        if not target.exists() or target.stat().st_mtime < newest:
            run(*self.compiler(name, target))
        return target

    def one_program(self) -> Path:
        """Compile a main function that calls the program which its first argument names; so a mutant is linked once."""
        source, target = self.folder / "programs.c", self.folder / "programs.o"
        declared = "".join(f"int main_of_{name}(int, char **);\n" for name in PROGRAMS)
        calls = "".join(f'  if (!strcmp(all[1], "{x}")) return main_of_{x}(count - 1, all + 1);\n' for x in PROGRAMS)
        main = f"int main(int count, char **all) {{\n{''.join(calls)}  return 2;\n}}\n"
        source.write_text(f"#include <string.h>\n{declared}{main}")
        run("cc", "-c", source, "-o", target)
        return target

    def changed(self, mutant: Mutant, name: str) -> Path | None:
        """Compile an object with a mutant; none if it is no program."""
        place, target = self.copy / Path(mutant.file).relative_to("runtime/kernels"), self.folder / "mutant.o"
        place.write_text(mutant.text())
        command = self.compiler(name, target, *NO_PROGRAM)
        built = subprocess.run(list(map(str, command)), capture_output=True, check=False)
        shutil.copy(ROOT / mutant.file, place)
        return None if built.returncode else target

    def link(self, objects: dict[str, Path], name: str) -> Path | None:
        """Link the program; return its path, or nothing if a function is missing."""
        command = ["cc", *self.flags, *objects.values(), "-lm", "-o", self.folder / name]
        built = subprocess.run(list(map(str, command)), capture_output=True, check=False)
        return None if built.returncode else self.folder / name

    def fails(self, command: Command, seconds: float, program: Path) -> str:
        """Return the name of a program that fails, or nothing; `time` if it is not ready after some seconds."""
        words = list(map(str, [program, command.program, *command.arguments, *command.plans]))
        try:
            done = subprocess.run(words, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return "time"
        other = command.table and done.stdout != command.table
        return command.program if done.returncode or other else ""

    def seconds_of(self, number: int) -> float:
        """Return what a command takes without a mutant.

        Raises:
            SystemExit: Its program fails.
        """
        if number not in self.seconds:
            program = self.link(self.objects, "programs")
            assert program is not None
            started = time.monotonic()
            if failing := self.fails(self.commands[number], 3600, program):
                sys.exit(f"{failing} fails without a mutant; see `python -m pytest tests/kernels`")
            self.seconds[number] = time.monotonic() - started
        return self.seconds[number]

    def killer(self, name: str, changed: Path, order: Sequence[int]) -> tuple[str, int] | None:
        """Return the program that fails with another object, and the number of its command; None: it is no program."""
        mutant = self.link(self.objects | {name: changed}, "mutant")
        if mutant is None:
            return None
        for number in order:
            command = that_reach(self.commands[number], name)
            if command is None:
                continue
            # What takes ten times as long as usual has hung; the machine may be busy.
            most = 10 + 10 * self.seconds_of(number)
            if failing := self.fails(command, most, mutant):
                return failing, number
        return "", -1


class Engine:
    """Judge mutants of the engine."""

    language = "c"
    files = tuple(sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (KERNELS / room).glob("*.c")))

    def __init__(self, folder: Path) -> None:
        """Build in `folder`, plainly and under the sanitizers."""
        self.builds = [Build(folder / "plain", PLAIN), Build(folder / "sanitized", SANITIZED)]
        self.kills: dict[str, Counter[int]] = {}  # for each object, how often each command killed a mutant of it

    def judge(self, mutant: Mutant, name: str = "", *, quickly: bool = False) -> str | None:
        """Return what killed a mutant: the name of a program, or `time`. Nothing: it lives. None: it is no program.

        Args:
            mutant: The changed line.
            name: The object to compile again; a header has none of its own.
            quickly: Leave the sanitizers, the slow programs and the tests in Python out.

        Raises:
            SystemExit: A program fails without a mutant.
        """
        name = name or str(Path(mutant.file).relative_to("runtime/kernels").with_suffix(""))
        kills = self.kills.setdefault(name, Counter())
        for build in self.builds[: 1 if quickly else None]:
            changed = build.changed(mutant, name)
            if changed is None:
                return None
            if changed.read_bytes() == build.objects[name].read_bytes():
                return SAME
            judging = [at for at, command in enumerate(build.commands) if not (quickly and command.slow)]
            order = sorted(judging, key=lambda one: -kills[one])
            found = build.killer(name, changed, order)
            if found is None:
                return None
            killer, number = found
            if killer:
                kills[number] += 1
                return killer
        return "" if quickly else in_python(mutant, name)


def in_python(mutant: Mutant, name: str) -> str:
    """Return the first test in Python that fails with a mutant, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        made = binding_with(mutant, name, Path(folder))
        return next((killer for test in IN_PYTHON if (killer := run_tests(test, MODULE, made))), "")
