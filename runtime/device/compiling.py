"""Compile models for a device: the folder of its kind, by the name of its target."""

import os
from collections.abc import Mapping
from pathlib import Path

from ..errors import DeviceError
from ..load import naming, plan_of
from ..plan.writer import c_name
from .chips import NAMES
from .folder import DeviceReport, write_folder
from .model_files import check_names
from .parts import sizes_of
from .targets import WASM, Target
from .web import write_web_folder

Source = str | os.PathLike[str]


def write_device_folder(
    source: Source | Mapping[str, Source], target: str, folder: str | os.PathLike[str]
) -> DeviceReport:
    """Write a folder that runs a model on a device, and return the memory that the model needs there.

    For `wasm` it is a page with a module of WebAssembly, for the other targets C code and what builds it. There several
    models may share one engine.

    Args:
        source: A streaming ONNX file or a compiled plan; its name in C is the file's name up to the first dot. Several
            files, or another name, as names with their files: `{"wake": "kws.onnx", "gain": "agc.onnx"}`. The program
            in the folder runs the first.
        target: Name of the device, a key of `tidegate.runtime.device.chips.NAMES`, e.g. `cortex-m4f` or `rp2040`.
        folder: The folder, which is made if it does not exist. Files of the same names are replaced, and files of an
            older model's engine are removed.

    Raises:
        DeviceError: There is no such target, or its compiler is installed and fails, e.g. because the board is too
            small, or a link in the folder leads to another place; for `wasm` also if its compiler is not installed.
            A name is not one in C, is that of another file of the folder, or is given twice. Nothing is written.
        ModelError: A file is not a model, or has an operator or option that the engine does not have.
        FileNotFoundError: There is no such file.
    """
    if target not in NAMES:
        raise DeviceError(f"target {target!r} is unknown; wanted one of {', '.join(NAMES)}")
    sources = source if isinstance(source, Mapping) else {name_of(source): source}
    check_names(sources)
    if target == WASM and len(sources) > 1:
        raise DeviceError(f"{len(sources)} models, wanted one for {WASM}; write a folder for each")
    plans = {name: _plan(path, NAMES[target]) for name, path in sources.items()}
    if target == WASM:
        (plan,) = plans.values()
        return write_web_folder(plan, NAMES[target], Path(folder))
    return write_folder(plans, NAMES[target], Path(folder))


def name_of(source: Source) -> str:
    """Return the name in C of a model: its file's name up to the first dot."""
    return c_name(Path(source).name.split(".")[0])


def _plan(source: Source, target: Target) -> bytes:
    """Return the plan of a file, which is checked here so that a refusal names the file."""
    with naming(source):
        plan = plan_of(source)
        sizes_of([plan], target)
    return plan
