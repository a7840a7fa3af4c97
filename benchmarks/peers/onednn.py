"""oneDNN's LSTM primitive through its C++ package: float32, and int8 with u8 data and s8 weights.

`onednn.cpp` is compiled against the package when a job is prepared.
"""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("numpy",)  # and the headers and library of onednn-devel-cpu-gomp in the same environment
VARIANTS = (Variant("float32", "lstm_forward"), Variant("int8", "lstm_forward"))
WEIGHTS = "onednn.bin"
SOURCE = Path(__file__).with_name("onednn.cpp")
HEADER = Path(sys.prefix) / "include" / "dnnl.hpp"


def prepare(job: Job, _: Variant) -> None:
    """Compile the program, and write the weights."""
    if not HEADER.exists():
        raise CannotRunError("onednn-devel-cpu-gomp is not installed: `make peers` installs what can be")
    library = Path(sys.prefix) / "lib"
    if not job.made("onednn.so").exists():
        command = ["c++", "-O2", "-std=c++17", "-shared", "-fPIC", str(SOURCE), "-o", str(job.made("onednn.so"))]
        command += [f"-I{HEADER.parent}", f"-L{library}", f"-Wl,-rpath,{library}", "-ldnnl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise CannotRunError(f"onednn.cpp does not compile: {done.stderr.partition('error:')[2][:100].strip()}")
    parts = [np.ascontiguousarray(part, "<f4").tobytes() for layer in job.weights("LSTM") for part in layer]
    job.made(WEIGHTS).write_bytes(b"".join(parts))


def load(job: Job, variant: Variant) -> Step:
    """Return a stepper through the compiled program."""
    library = ctypes.CDLL(str(job.made("onednn.so")))
    library.open_stack.restype = ctypes.c_void_p
    library.step.argtypes = [ctypes.c_void_p] * 3
    layers = job.weights("LSTM")
    hidden, features = layers[0][1].shape[1], layers[0][0].shape[1]
    data = job.made(WEIGHTS).read_bytes()
    shift, scale = _range(job)
    stack = library.open_stack(
        data, features, hidden, len(layers), job.steps, int(variant.precision == "int8"),
        ctypes.c_float(scale), ctypes.c_float(shift),
    )  # fmt: skip
    if not stack:
        raise CannotRunError("oneDNN has no such primitive on this processor")
    answer = np.zeros((job.steps, hidden), np.float32)
    address, run = answer.ctypes.data, library.step

    def step(chunk: Floats, _alive: object = (library, data)) -> Floats:
        run(stack, chunk.ctypes.data, address)
        return answer

    return step


def _range(job: Job) -> tuple[float, float]:
    """Return shift and scale of the u8 data: what the signal spans, and h, which lies in (-1, 1)."""
    chunks = np.concatenate(job.chunks()[:100])
    most = max(float(np.abs(chunks).max()), 1.0)
    return 128.0, 127.0 / most
