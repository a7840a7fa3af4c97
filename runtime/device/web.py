"""A folder for the browser: a plan, the engine trimmed to it as WebAssembly, a JavaScript module and a page.

`tidegate compile m.int8.onnx --target wasm -o OUT/` writes it. Any web server may serve the folder: its files need no
other, no setting of the server, and nothing of Python.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from .file_list import refuse_links, write_all
from .folder import DeviceReport, report_of
from .module import SIMD, WEB, build_module, compiler
from .parts import definitions, engine_files, sizes_of
from .targets import Target

MODULES = {"model.wasm": ("wasm_simd128", SIMD), "model-plain.wasm": ("scalar", ())}
LIBRARY = ("tidegate.js", "tidegate.d.ts", "errors.js", "engine.js", "text.js", "model.js", "stream.js", "group.js")
PAGE = ("index.html", "load.js", "load.d.ts", "page.js")


def write_web_folder(plan: bytes, target: Target, folder: Path) -> DeviceReport:
    """Write the folder and return the bytes of the module and the plan, and the memory of the model.

    Args:
        plan: A compiled plan.
        target: The target, whose larger variant counts.
        folder: The folder, which is made if it does not exist. Files of the same names are replaced.

    Raises:
        DeviceError: The compiler is not installed or fails, or a link in the folder leads to another place. Nothing
            is written.
    """
    sizes_of([plan], target)  # checks the plan, so that its fields can be read below
    files = {name: trimmed(plan, *how) for name, how in MODULES.items()}
    report = report_of([plan], target, compiler(), max(map(len, files.values())) + len(plan))
    files |= {"model.tide": plan, "report.json": (json.dumps(asdict(report), indent=1) + "\n").encode()}
    files |= {name: (WEB / "page" / name).read_bytes() for name in PAGE}
    files |= {f"tidegate/{name}": (WEB / name).read_bytes() for name in LIBRARY}
    refuse_links(folder, files)
    write_all(folder, files)
    return report


def trimmed(plan: bytes, variant: str, flags: Sequence[str]) -> bytes:
    """Return a module with the operators of a plan, which was checked, and one variant."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as name:
        for file, text in engine_files([plan], [variant]):
            place = Path(name, file)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")
        return build_module(Path(name), [*flags, *definitions([plan], [variant])])
