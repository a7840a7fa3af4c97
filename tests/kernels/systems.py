"""The engine for other systems, built to the end by PyPI's `zig cc`; where its C programs can run, they say the same.

`make systems` runs this file. pytest does not find it by its name: a first build of all takes half an hour of the
processor. test_platforms.py, which it does find, only lets clang check the sources. Builds stay in build/systems.
"""

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from kernels import test_install
from kernels.building import ROOT, VECTORS, build, check, engine_with, float_vectors, require, run, vectors
from kernels.test_install import FRAMES, FUNCTIONS, USING, answers, wanted
from kernels.test_platforms import ziglang
from kernels.test_refusals import TABLE, refused
from tidegate.runtime import _kernels
from tidegate.runtime.load import compile_model

CPP = ROOT / "bindings" / "cpp"
FOLDER = ROOT / "build" / "systems"
model = test_install.model
NATIVE = frozenset(_kernels.variants())
WINDOWS = "x86_64-windows-gnu"


class System(NamedTuple):
    """How CMake calls a system, what runs its programs here (None: nothing), and the variants that then run."""

    name: str
    runner: tuple[str, ...] | None = None
    variants: frozenset[str] = NATIVE


SYSTEMS = {
    "x86_64-linux-musl": System("Linux", ()),
    "aarch64-linux-musl": System("Linux", ("qemu-aarch64",), frozenset({"neon_dotprod", "neon", "scalar"})),
    "arm-linux-musleabihf": System("Linux", ("qemu-arm",), frozenset({"neon32", "scalar"})),
    WINDOWS: System("Windows", ("wine",)),
    "aarch64-macos": System("Darwin"),
    "x86_64-macos": System("Darwin"),
}
# A shared library's file, what lists the names that it exports, and what stands before each.
EXPORTS = {
    "Linux": ("libtidegate.so", ("llvm-nm", "--dynamic", "--defined-only"), " T "),
    "Windows": ("libtidegate.dll", ("llvm-readobj", "--coff-exports"), "Name: "),
    "Darwin": ("libtidegate.dylib", ("llvm-nm", "--extern-only", "--defined-only"), " T _"),
}
each_system = pytest.mark.parametrize("triple", SYSTEMS)


@pytest.fixture(scope="module", autouse=True)
def zig_and_wine() -> Iterator[None]:
    """Both keep their files in the folder of the builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZIG_GLOBAL_CACHE_DIR", str(FOLDER / "cache"))
        patch.setenv("ZIG_LOCAL_CACHE_DIR", str(FOLDER / "cache"))
        patch.setenv("WINEPREFIX", str(FOLDER / "wine"))
        patch.setenv("WINEDEBUG", "-all")
        yield


def zig(*words: str) -> str:
    """Return the path of a program that calls zig with these words and its own arguments."""
    path = FOLDER / "tools" / "-".join(words)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{ziglang() / "zig"}" {" ".join(words)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def options(triple: str) -> list[str]:
    """Return what CMake is told of a system. zig has a cache of its own, in place of ccache."""
    archivers = (f"-DCMAKE_AR={zig('ar')}", f"-DCMAKE_RANLIB={zig('ranlib')}")
    return [f"-DCMAKE_SYSTEM_NAME={SYSTEMS[triple].name}", *archivers, "-DCMAKE_C_COMPILER_LAUNCHER="]


def built(triple: str) -> Path:
    """Return the folder of the programs of a system, on Windows also by names without an ending."""
    programs = build(FOLDER / triple, zig("cc", "-target", triple), options=options(triple))
    for program in programs.glob("*.exe"):
        program.with_suffix("").unlink(missing_ok=True)
        program.with_suffix("").symlink_to(program.name)
    return programs


def runner(triple: str) -> list[str]:
    """Return what runs the programs of a system; if nothing does, the test is skipped."""
    words = SYSTEMS[triple].runner
    if words is None or (words == () and platform.machine() != "x86_64"):
        pytest.skip(f"{triple}: built to the end, and not run: nothing here runs its programs")
    return [require(word) for word in words]


@each_system
def test_every_c_program_says_the_same(triple: str, tmp_path: Path) -> None:
    programs = built(triple)
    before = runner(triple)
    assert check(programs, *before, plans=100) == SYSTEMS[triple].variants
    said = [
        run(*before, programs / "threads", "5"),
        run(*before, programs / "groups", "20", "9"),
        run(*before, programs / "turned", *vectors()),
        run(*before, programs / "misuse", *vectors()),
        run(*before, programs / "undoing", "20", *vectors()),
        run(*before, programs / "damage", "9", VECTORS / "one_unit"),
    ]
    if SYSTEMS[triple].name == "Linux":
        said.append(run(*before, programs / "realtime", *float_vectors()))
    assert refused(programs, tmp_path, *before) == TABLE.read_text()
    print(f"\n{triple}: {len(vectors())} vectors on {', '.join(sorted(SYSTEMS[triple].variants))}", *said, sep="\n")


def exported(library: Path, system: str) -> set[str]:
    """Return the names that a shared library exports."""
    _, command, before = EXPORTS[system]
    lines = run(require(command[0]), *command[1:], library).splitlines()
    return {line.partition(before)[2].partition("@@")[0] for line in lines if before in line}


def installed(build_folder: Path, prefix: Path) -> Path:
    run(require("cmake"), "--install", build_folder, "--prefix", prefix)
    return prefix


@each_system
def test_shared_library_exports_the_functions_of_the_header_alone(triple: str, model: Path, tmp_path: Path) -> None:
    """Its program of another project is linked, and on Windows run: a Linux with musl as its C library is not here."""
    shared = [*options(triple), "-DBUILD_SHARED_LIBS=ON", "-DBUILD_TESTING=OFF", "-DTIDEGATE_OPTIMIZE=-O0"]
    plain, system = engine_with(["scalar"], tmp_path), SYSTEMS[triple].name
    build(tmp_path / "shared", zig("cc", "-target", triple), source=plain, options=shared)
    prefix = installed(tmp_path / "shared", tmp_path / "prefix")
    (library,) = prefix.rglob(EXPORTS[system][0])
    assert exported(library, system) == FUNCTIONS
    cmake, place = require("cmake"), tmp_path / "using"
    compiler = f"-DCMAKE_C_COMPILER={zig('cc', '-target', triple)}"
    found = [
        f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=NEVER",
        f"-DPLAN={model / 'model.c'}",
    ]
    run(cmake, "-S", USING, "-B", place, *options(triple), compiler, *found)
    run(cmake, "--build", place)
    if system == "Windows":
        shutil.copy(library, place)
        np.testing.assert_array_equal(answers(place / "using.exe", *runner(triple)), wanted(model), strict=True)


def test_cpp_example_on_windows_gives_the_bits_of_python(model: Path, tmp_path: Path) -> None:
    prefix, cmake = installed(built(WINDOWS).parent, tmp_path / "prefix"), require("cmake")
    compiler = f"-DCMAKE_CXX_COMPILER={zig('c++', '-target', WINDOWS)}"
    run(cmake, "-S", CPP, "-B", tmp_path, *options(WINDOWS), compiler, f"-DCMAKE_PREFIX_PATH={prefix}")
    run(cmake, "--build", tmp_path)
    compile_model(model / "model.int8.onnx", tmp_path / "model.tide")
    command: list[str | Path] = [*runner(WINDOWS), tmp_path / "stream.exe", tmp_path / "model.tide"]
    done = subprocess.run(command, input=FRAMES.tobytes(), capture_output=True, check=True)
    assert done.stdout == wanted(model).tobytes()
