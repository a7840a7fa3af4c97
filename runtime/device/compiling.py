"""Compile a model for a device: the folder of its kind, by the name of its target."""

import os
from pathlib import Path

from ..errors import DeviceError
from ..load import naming, plan_of
from .folder import DeviceReport, write_folder
from .targets import TARGETS, WASM
from .web import write_web_folder


def write_device_folder(source: str | os.PathLike[str], target: str, folder: str | os.PathLike[str]) -> DeviceReport:
    """Write a folder that runs a model on a device, and return the memory that the model needs there.

    For `wasm` it is a page with a module of WebAssembly, for the other targets C code and what builds it.

    Args:
        source: A streaming ONNX file or a compiled plan.
        target: Name of the device, a key of `tidegate.runtime.device.targets.TARGETS`, e.g. `cortex-m4f`.
        folder: The folder, which is made if it does not exist. Files of the same names are replaced, and files of an
            older model's engine are removed.

    Raises:
        DeviceError: There is no such target, or its compiler is installed and fails, e.g. because the board is too
            small, or a link in the folder leads to another place; for `wasm` also if its compiler is not installed.
            Nothing is written.
        ModelError: The file is not a model, or has an operator or option that the engine does not have.
        FileNotFoundError: There is no such file.
    """
    if target not in TARGETS:
        raise DeviceError(f"target {target!r} is unknown; wanted one of {', '.join(TARGETS)}")
    write = write_web_folder if target == WASM else write_folder
    with naming(source):
        return write(plan_of(source), TARGETS[target], Path(folder))
