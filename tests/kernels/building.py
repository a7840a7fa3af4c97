"""Build the engine and its C tests, for this processor or another, and run them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "runtime" / "kernels"
VECTORS = ROOT / "tests" / "vectors"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def require(tool: str) -> str:
    """Return the path of a tool; if it is missing, the test is skipped (in continuous integration it fails)."""
    found = shutil.which(tool, path=PATH)
    if found is not None:
        return found
    reason = f"{tool} is not installed (.ci/run says which package has it)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str | Path) -> str:
    """Run a command and return its output; if the command fails, the test fails and shows the output."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def build(folder: Path, compiler: str, *flags: str, source: Path = KERNELS, options: Iterable[str] = ()) -> Path:
    """Build the engine and its C tests in `folder`; return the folder of the programs.

    Args:
        folder: An empty folder, or one of an earlier build.
        compiler: Name or path of the C compiler.
        flags: Further compiler and linker flags.
        source: The engine, or an altered copy.
        options: Further options of CMake.
    """
    cmake, all_flags = require("cmake"), " ".join(["-Werror", *flags])
    chosen = [f"-DCMAKE_C_COMPILER={require(compiler)}", f"-DCMAKE_C_FLAGS={all_flags}"]
    if cache := shutil.which("ccache"):  # the same sources with the same flags are built in several folders
        chosen.append(f"-DCMAKE_C_COMPILER_LAUNCHER={cache}")
    if any(flag.startswith("-fsanitize") for flag in flags):
        chosen.append("-DTIDEGATE_OPTIMIZE=-O1")
    run(cmake, "-S", source, "-B", folder, *chosen, *options)
    run(cmake, "--build", folder, "--parallel", "2")
    return folder / "tests"


def engine_with(variants: Sequence[str], folder: Path) -> Path:
    """Copy the engine into a folder with some of its variants, for all take a minute to compile; return the copy."""
    copy = folder / "kernels"
    shutil.copytree(KERNELS, copy)
    listed = copy / "src/variants.inc"
    kept = {f"TIDE_VARIANT({name})\n" for name in variants}
    lines = listed.read_text().splitlines(keepends=True)
    listed.write_text("".join(line for line in lines if line in kept or not line.startswith("TIDE_VARIANT")))
    for file in (copy / "variants").glob("*.c"):
        if file.stem not in variants:
            file.unlink()
    return copy


def vectors() -> list[Path]:
    """Return the paths of the golden vectors, without the ending."""
    return sorted(path.with_suffix("") for path in VECTORS.glob("*.tide"))


def check(programs: Path, *emulator: str, plans: int = 500) -> set[str]:
    """Run the C tests, under an emulator if one is given; return the names of the variants that ran."""
    compared = run(*emulator, programs / "check_variants", str(plans))
    replayed = run(*emulator, programs / "replay", *vectors())
    ran = {line.split(":")[0] for line in compared.splitlines() if line.endswith(f" {plans} plans equal")}
    assert ran == {line.split(":")[0] for line in replayed.splitlines() if line.endswith(" vectors equal")}
    return ran


def float_vectors() -> list[Path]:
    """Return the golden vectors that take features, not ids."""
    return [stem for stem in vectors() if stem.name != "tables"]
