"""examples/cortex-m: the firmware gives the same classes as the model in Python."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from devices.models import samples
from kernels.building import require
from tidegate import load

pytestmark = pytest.mark.slow  # compiles a firmware and runs it under an emulator

SCRIPT = Path(__file__).parents[2] / "examples" / "cortex-m" / "run.py"
FIRST, INTERVAL, CLASSES = 99, 10, ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example's script as a module."""
    spec = importlib.util.spec_from_file_location("cortex_m_run", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_firmware_classifies_recorded_movements(example: ModuleType, tmp_path: Path) -> None:
    for tool in ("arm-none-eabi-gcc", "make", "qemu-system-arm"):
        require(tool)
    frames = samples()[:400]
    program = example.build("cortex-m4f", tmp_path / "cortex-m4f")
    printed = example.run("cortex-m4f", program, frames.tobytes())
    stream = load(tmp_path / "watch.int8.onnx").stream()
    logits = np.array([np.asarray(stream.push(frame[None])) for frame in frames])
    wanted = [CLASSES[i] for i in logits[FIRST::INTERVAL].argmax(axis=1)]
    assert re.findall(r" s  (\w+)$", printed, re.MULTILINE) == wanted
    assert printed.startswith(" 2.000000 s  ")
