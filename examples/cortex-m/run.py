"""The exercise recognizer as firmware for a Cortex-M: export, quantize, build, and run it under qemu.

    python examples/cortex-m/run.py [TARGET [RECORDING]]

TARGET is cortex-m0, cortex-m4f (the default), cortex-m33 or cortex-m55. RECORDING is the number, 0 to 41, of a test
recording of examples/watch. The folder stays in build/cortex-m; its main.c is the one next to this file.
"""

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import tidegate as tg
from tidegate.export import example_from_shape, load_module
from tidegate.runtime.device.targets import TARGETS

HERE = Path(__file__).parent
WATCH = HERE.parent / "watch"
sys.path.insert(0, str(WATCH))


def build(target: str, folder: Path) -> Path:
    """Write the firmware's folder and build it; return the program."""
    folder.mkdir(parents=True, exist_ok=True)
    exported, quantized = folder.parent / "watch.onnx", folder.parent / "watch.int8.onnx"
    module = load_module("model:recognizer", WATCH / "watch.safetensors")
    tg.export_model(module, example_from_shape("1x20x6"), exported, sample_rate=50, hop=1)
    tg.quantize(exported, quantized)
    tg.write_device_folder(quantized, target, folder)
    shutil.copy(HERE / "main.c", folder)
    subprocess.run(["make", "-s", "-C", str(folder)], check=True)  # noqa: S603, S607
    return folder / "model"


def run(target: str, program: Path, samples: bytes) -> str:
    """Run the firmware under qemu on samples (float32, six channels); return its output."""
    command = [*TARGETS[target].runs[0].emulator, str(program)]
    return subprocess.run(command, input=samples, capture_output=True, check=True).stdout.decode()  # noqa: S603


def main(target: str = "cortex-m4f", number: str = "0") -> None:
    """Build the firmware, run it on one recording, and print its output."""
    recordings = import_module("recordings")
    recording = recordings.split(recordings.load()).test[int(number)]
    program = build(target, Path("build/cortex-m") / target)
    print(f"The exercise is {recording.exercise}. The firmware on {target} says:")
    print(run(target, program, recording.frames.tobytes()), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
