"""The engine as modules of WebAssembly, built once for all tests, and jobs for them in Node."""

import fcntl
import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

from kernels.building import ROOT, require
from tidegate.runtime.device import module
from tidegate.runtime.device.module import SIMD, WEB, build_module, compiler
from tidegate.runtime.device.parts import KERNELS

MODULES = {"wasm_simd128": SIMD, "scalar": ()}
REPLAY = ROOT / "tests" / "web" / "replay.mjs"


def engine(variant: str) -> Path:
    """Return the path of the whole engine for a variant; it is built if the engine changed since."""
    folder = ROOT / "build" / "wasm"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{variant}-{_key()}.wasm"
    with (folder / f"{variant}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            for old in folder.glob(f"{variant}-*.wasm"):
                old.unlink()
            path.write_bytes(build_module(flags=MODULES[variant]))
    return path


def _key() -> str:
    """Return a hash of all that a module is built from."""
    files = [Path(module.__file__), *(p for p in sorted(KERNELS.rglob("*")) if p.suffix in {".c", ".h", ".inc"})]
    return sha256(b"".join(path.read_bytes() for path in files) + compiler().encode()).hexdigest()[:16]


def in_node(jobs: list[dict[str, Any]], path: Path, script: Path = REPLAY) -> list[Any]:
    """Run jobs on a module in Node and return their results; see tests/web/replay.mjs."""
    command = [require("node"), str(script), str(WEB / "tidegate.js"), str(path)]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results: list[Any] = json.loads(done.stdout)
    return results
