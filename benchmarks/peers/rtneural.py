"""RTNeural, float32 with every size a constant, on both of its fast backends.

It is a library of headers without a package: TIDEGATE_RTNEURAL names the folder of its source, with the submodule
modules/xsimd. `rtneural.cpp` is compiled against it for the sizes of each job.
"""

import ctypes
import os
import subprocess
from pathlib import Path

import numpy as np

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("numpy",)
VARIANTS = (Variant("float32", "xsimd"), Variant("float32", "eigen"))
HOME_VARIABLE = "TIDEGATE_RTNEURAL"
SOURCE = Path(__file__).with_name("rtneural.cpp")
BACKENDS = {"xsimd": "modules/xsimd/include", "eigen": "modules/Eigen"}
LAYERS = {"LSTM": "LSTMLayerT", "GRU": "GRULayerT"}
ALIGNMENT = {"xsimd": 64, "eigen": 32}  # bytes; the most that each takes


def prepare(job: Job, variant: Variant) -> None:
    """Compile the stack, unless that is done already."""
    job.weights(*LAYERS)
    library = _library(job, variant)
    if not library.exists():
        _compile(job, variant, library)


def _library(job: Job, variant: Variant) -> Path:
    return job.made(f"rtneural.{variant.how}.so")


def _home() -> Path:
    home = Path(os.environ.get(HOME_VARIABLE, ""))
    if not (home / "RTNeural" / "RTNeural.h").exists():
        raise CannotRunError(f"{HOME_VARIABLE} names no folder with RTNeural/RTNeural.h; give RTNeural's source")
    return home


def _compile(job: Job, variant: Variant, library: Path) -> None:
    home, stack = _home(), job.stack
    assert stack is not None  # noqa: S101  it has weights
    sizes = {"FEATURES": stack.features, "HIDDEN": stack.hidden, "LAYERS": stack.layers, "CELL": LAYERS[stack.cell]}
    settings = {f"RTNEURAL_USE_{variant.how.upper()}": 1, "RTNEURAL_DEFAULT_ALIGNMENT": ALIGNMENT[variant.how]}
    draft = library.with_suffix(".draft")
    command = ["c++", "-O3", "-march=native", "-std=c++17", "-w", "-DNDEBUG", "-shared", "-fPIC", str(SOURCE)]
    command += [f"-D{name}={value}" for name, value in (sizes | settings).items()]
    command += [f"-I{home}", f"-I{home / BACKENDS[variant.how]}", "-o", str(draft)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CannotRunError(f"rtneural.cpp does not compile: {done.stderr.partition('error:')[2][:100].strip()}")
    draft.rename(library)


def load(job: Job, variant: Variant) -> Step:
    """Return a step function that calls the compiled stack."""
    library = ctypes.CDLL(str(_library(job, variant)))
    library.step.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    layers = job.weights(*LAYERS)
    weights = np.concatenate([part.astype(np.float32).ravel() for layer in layers for part in layer])
    library.open_stack(weights.ctypes.data_as(ctypes.c_void_p))
    answer = np.zeros((job.steps, layers[0][1].shape[1]), np.float32)
    address, run, steps = answer.ctypes.data, library.step, job.steps

    def step(chunk: Floats) -> Floats:
        run(chunk.ctypes.data, address, steps)
        return answer

    return step
