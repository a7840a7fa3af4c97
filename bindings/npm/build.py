"""Build the npm package: the engine as WebAssembly and its JavaScript.

    python bindings/npm/build.py FOLDER

writes the package into a folder. The same sources give the same bytes.
"""

import shutil
import sys
from pathlib import Path

from tidegate.runtime.device.module import SIMD, WEB, build_module

MODULES = {"tidegate.wasm": SIMD, "tidegate-plain.wasm": ()}


def main(folder: Path) -> None:
    """Write the package."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, flags in MODULES.items():
        (folder / name).write_bytes(build_module(flags=flags))
    for path in sorted([*WEB.glob("*.js"), *WEB.glob("*.d.ts")]):
        shutil.copy(path, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
