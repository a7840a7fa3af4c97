"""Build the npm package: the engine as WebAssembly and its JavaScript.

    python bindings/npm/build.py FOLDER

writes the package into a folder, where `npm pack` makes the tarball. The same sources give the same bytes.
"""

import shutil
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from tidegate.runtime.device.module import SIMD, WEB, build_module

HERE = Path(__file__).resolve().parent
MODULES = {"tidegate.wasm": SIMD, "tidegate-plain.wasm": ()}
NAMES = {"VECTORS": "tidegate.wasm", "PLAIN": "tidegate-plain.wasm"}


def main(folder: Path) -> None:
    """Build the engine and write the package."""
    write(folder, {name: build_module(flags=flags) for name, flags in MODULES.items()})


def write(folder: Path, modules: Mapping[str, bytes]) -> None:
    """Write the package with modules that were built."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in modules.items():
        (folder / name).write_bytes(data)
    inlined = [f'export const {name} = "{b64encode(modules[file]).decode()}";\n' for name, file in NAMES.items()]
    (folder / "modules.js").write_text("".join(["// The engine, so that no page has to fetch it.\n", *inlined]))
    own = [*HERE.glob("*.js*"), *HERE.glob("*.md"), HERE.parents[1] / "LICENSE"]
    for path in sorted([*own, *HERE.glob("*.d.ts"), *WEB.glob("*.js"), *WEB.glob("*.d.ts")]):
        shutil.copy(path, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
