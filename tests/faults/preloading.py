"""A library that is loaded in front of the C library of a process."""

import sys
from pathlib import Path

import pytest
from kernels.building import require, run

HERE = Path(__file__).parent

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a library is loaded in front of Linux's C library")


def library_of(name: str, folder: Path) -> Path:
    """Build the library of a source of this folder in another one; return its file, for LD_PRELOAD."""
    built = folder / f"{name}.so"
    run(require("cc"), "-shared", "-fPIC", "-O2", "-Wall", "-Werror", HERE / f"{name}.c", "-o", built)
    return built
