"""The engine on systems that are not at hand: clang checks every file with the headers of that system.

PyPI's ziglang brings both. Nothing is compiled to the end, nor runs: other tests run each instruction set.
"""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from kernels.building import KERNELS, require

pytestmark = pytest.mark.slow  # three seconds of the processor for each system

MUSL = ("generic-musl", "any-linux-any")
SYSTEMS = {
    "x86_64-windows-gnu": ("any-windows-any",),
    "arm64-apple-macos11": ("any-macos-any",),
    "x86_64-apple-macos11": ("any-macos-any",),
    "x86_64-linux-musl": ("x86_64-linux-musl", *MUSL, "x86-linux-any"),
    "aarch64-linux-musl": ("aarch64-linux-musl", *MUSL, "aarch64-linux-any"),
}
SOURCES = (
    *KERNELS.glob("src/*.c"),
    *KERNELS.glob("operators/*.c"),
    *KERNELS.glob("variants/*.c"),
    *(KERNELS / "tests" / name for name in ("running.c", "check_variants.c", "replay.c", "random_plan.c")),
)


def ziglang() -> Path:
    """Return the folder of ziglang; if it is missing, the test is skipped (in continuous integration it fails)."""
    found = find_spec("ziglang")
    return Path(require("ziglang") if found is None or found.origin is None else found.origin).parent


def flags() -> list[str]:
    """Return the flags that the engine is compiled with."""
    text = (KERNELS / "CMakeLists.txt").read_text()
    found = re.search(r"target_compile_options\(tidegate PRIVATE \S+ (.*)\)", text)
    assert found is not None
    return found[1].split()


def judged(system: str, *sources: Path) -> str:
    """Return what clang says against the sources on a system."""
    zig = ziglang()
    headers = [zig / "lib/include", *(zig / "lib/libc/include" / name for name in SYSTEMS[system]), KERNELS / "include"]
    assert all(folder.is_dir() for folder in headers)
    within = [part for folder in headers[:-1] for part in ("-isystem", str(folder))]
    command = [str(zig / "zig"), "clang", "-target", system, "-fsyntax-only", "-nostdinc", *within, f"-I{headers[-1]}"]
    if system.startswith("x86_64"):  # as `zig cc` does: a function gets registers of 512 bits only if it asks for them
        command += ["-Xclang", "-target-feature", "-Xclang", "-evex512"]
    command += ["-std=gnu11", "-Werror", *flags(), *map(str, sources)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_engine_is_right_on_systems_that_are_not_at_hand(system: str) -> None:
    assert judged(system, *SOURCES) == ""


def test_what_a_system_lacks_is_seen(tmp_path: Path) -> None:
    (tmp_path / "unix.c").write_text("#include <sys/mman.h>\n")
    assert "file not found" in judged("x86_64-windows-gnu", tmp_path / "unix.c")
    assert judged("aarch64-linux-musl", tmp_path / "unix.c") == ""
