"""What tests of bindings share: the C library, installed, and a model."""

from pathlib import Path

import pytest
from kernels import conftest
from kernels.building import KERNELS
from tidegate.quant import quantize
from tidegate.runtime.load import compile_model
from tools.onnx_files import write_lstm

native, prefix = conftest.native, conftest.prefix


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan with one answer of three features to a frame of six."""
    folder = tmp_path_factory.mktemp("model")
    quantize(write_lstm(folder / "model.onnx"), folder / "model.int8.onnx")
    compile_model(folder / "model.int8.onnx", folder / "model.tide")
    return folder / "model.tide"


@pytest.fixture(scope="session")
def stems() -> list[Path]:
    """The golden vectors of tests/vectors, without endings."""
    return sorted(path.with_suffix("") for path in (KERNELS.parents[1] / "tests/vectors").glob("*.tide"))
