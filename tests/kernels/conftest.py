"""Builds of the engine that several tests share."""

from pathlib import Path

import pytest
from kernels.building import build, require, run


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the engine's test programs, built for this processor."""
    return build(tmp_path_factory.mktemp("native"), "cc")


@pytest.fixture(scope="session")
def prefix(native: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the engine is installed."""
    folder = tmp_path_factory.mktemp("installed")
    run(require("cmake"), "--install", native.parent, "--prefix", folder)
    return folder


@pytest.fixture(scope="session")
def aarch64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same programs, built for AArch64."""
    require("qemu-aarch64")
    return build(tmp_path_factory.mktemp("aarch64"), "aarch64-linux-gnu-gcc", "-static")
