"""The npm package as `make wasm` writes it, with modules that the tests share."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from kernels.building import ROOT
from tools.web import engine

MODULES = {"tidegate.wasm": "wasm_simd128", "tidegate-plain.wasm": "scalar"}


def write_package(folder: Path) -> Path:
    """Write the package into a folder."""
    spec = spec_from_file_location("npm_build", ROOT / "bindings" / "npm" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = module_from_spec(spec)
    spec.loader.exec_module(build)
    build.write(folder, {name: engine(variant).read_bytes() for name, variant in MODULES.items()})
    return folder
