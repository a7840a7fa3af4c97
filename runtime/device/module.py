"""Modules of WebAssembly: the engine, built by the compiler of PyPI's `ziglang`, without C library and imports.

The same files and flags give the same bytes on every machine.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ..errors import DeviceError
from .parts import KERNELS

WEB = KERNELS / "web"
# memcpy of a vector must be an instruction, not a call: web/include/string.h. Loop strength reduction turns constant
# offsets of loads into additions: without it the module is 5 % smaller, and B takes 17.9 us in place of 18.9.
FLAGS = (
    *("--target=wasm32-unknown-unknown", "-ffreestanding", "-fbuiltin", "-nostdinc", "-mbulk-memory", "-std=gnu11"),
    *("-fno-fast-math", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections", "-mllvm", "-disable-lsr"),
)
# What is called once a push or once a model is kept small; frames and products go through the rest.
HOT = ("operators", "variants", "src/fixed.c")
LINK = ("--no-entry", "--strip-all", "--gc-sections", "--stack-first")
SIMD = ("-msimd128",)
EXPORTED = re.compile(r"\b((?:tide|web)_\w+)\(")
WAY_OUT = "pip install 'tidegate[wasm]'"


def build_module(engine: Path = KERNELS, flags: Sequence[str] = SIMD) -> bytes:
    """Return a module that exports the functions of `tidegate.h` and `web.h`.

    Args:
        engine: A folder with the files of the engine in `src/`, `operators/`, `variants/` and `include/`.
        flags: Further flags of the compiler; with `SIMD` the module loads only where there are vectors.

    Raises:
        DeviceError: The compiler is not installed, or it fails.
    """
    zig = _zig()
    sources = [path for room in ("src", "operators", "variants") for path in sorted((engine / room).glob("*.c"))]
    hot = [path for path in sources if path.relative_to(engine).as_posix().startswith(HOT)]
    small = [path for path in [*sources, *sorted(WEB.glob("*.c"))] if path not in hot]
    places = (zig.with_name("lib") / "include", WEB / "include", engine / "include")
    include = [f"-I{place}" for place in places]
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name:
        objects = Path(name)
        for optimize, files in (("-O2", hot), ("-Os", small)):
            if files:
                _run([zig, "clang", *FLAGS, optimize, *flags, *include, "-c", *files], objects)
        exported = [f"--export-if-defined={function}" for function in _exported(engine)]
        linked = sorted(path.name for path in objects.glob("*.o"))
        _run([zig, "wasm-ld", *LINK, *exported, *linked, "-o", "module.wasm"], objects)
        return (objects / "module.wasm").read_bytes()


def compiler() -> str:
    """Return the name and the release of the compiler."""
    return f"ziglang {version('ziglang')}"


def _exported(engine: Path) -> list[str]:
    headers = (engine / "include" / "tidegate.h", WEB / "web.h")
    return sorted({name for header in headers for name in EXPORTED.findall(header.read_text())})


@cache
def _zig() -> Path:
    found = find_spec("ziglang")
    if found is None or found.origin is None:
        raise DeviceError(f"wasm: its compiler, the package ziglang, is not installed; {WAY_OUT}")
    return Path(found.origin).with_name("zig")


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise DeviceError(f"ziglang fails for wasm: {done.stderr.strip()[-400:]}")
