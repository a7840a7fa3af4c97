"""oneDNN's recurrent primitives, called from C++: float32, and int8 with u8 data and s8 weights.

`onednn.cpp` is compiled against oneDNN's development package when the first job is prepared.
"""

import ctypes
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from .job import CannotRunError, Floats, Job, Step, Variant
from .unrolled import CELLS, cell_of

PACKAGES = ("numpy",)
DISTRIBUTIONS = ("onednn-devel-cpu-gomp",)  # has headers and a library, but no module
VARIANTS = (Variant("float32", "execute"), Variant("int8", "execute"))
WEIGHTS = "onednn.bin"
SOURCE = Path(__file__).with_name("onednn.cpp")
HOME = Path(sys.prefix)
GATES = {"LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2), "RNN": (0,)}
"""For each cell, the numbers of PyTorch's gates in the primitive's order: i, f, c, o of an LSTM; u, r, o of a GRU."""


def prepare(job: Job, _: Variant) -> None:
    """Compile the library, unless that is done already, and write the weights."""
    if not (HOME / "include" / "dnnl.hpp").exists():
        raise CannotRunError(f"{DISTRIBUTIONS[0]} is not installed; `make peers` installs the peers")
    if not _library().exists():
        _compile()
    cell = cell_of(job)
    parts = [part for layer in job.weights(*CELLS) for part in _ordered(layer, cell)]
    job.made(WEIGHTS).write_bytes(b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in parts))


def _library() -> Path:
    """Return the path of the library that is compiled from this version of the source."""
    return HOME / "lib" / f"tidegate-{hashlib.blake2b(SOURCE.read_bytes(), digest_size=8).hexdigest()}.so"


def _compile() -> None:
    library, made = HOME / "lib", _library()
    draft = made.with_suffix(".draft")
    command = ["c++", "-O2", "-std=c++17", "-shared", "-fPIC", str(SOURCE), "-o", str(draft)]
    command += [f"-I{HOME / 'include'}", f"-L{library}", f"-Wl,-rpath,{library}", "-ldnnl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CannotRunError(f"onednn.cpp does not compile: {done.stderr.partition('error:')[2][:100].strip()}")
    draft.rename(made)


def _ordered(layer: tuple[Floats, Floats, Floats, Floats], cell: str) -> list[Floats]:
    """Return weights and biases with gates in the primitive's order.

    A GRU has one more bias, the last: that of h in the candidate.
    """

    def turned(rows: Floats) -> list[Floats]:
        parts = np.split(rows, len(GATES[cell]))
        return [parts[gate] for gate in GATES[cell]]

    w, r, bias_w, bias_r = map(turned, layer)
    apart = cell == "GRU"
    biases = [a + b for a, b in zip(bias_w[:2] if apart else bias_w, bias_r, strict=not apart)]
    return [*w, *r, *biases, *((bias_w[2], bias_r[2]) if apart else ())]


def load(job: Job, variant: Variant) -> Step:
    """Return a step function that calls the compiled library."""
    library = ctypes.CDLL(str(_library()))
    library.open_stack.restype = ctypes.c_void_p
    library.step.argtypes = [ctypes.c_void_p] * 3
    layers, cell = job.weights(*CELLS), cell_of(job)
    hidden, features = layers[0][1].shape[1], layers[0][0].shape[1]
    data = job.made(WEIGHTS).read_bytes()
    shift, scale = _range(job)
    stack = library.open_stack(
        cell.encode(), data, features, hidden, len(layers), job.steps, int(variant.precision == "int8"),
        ctypes.c_float(scale), ctypes.c_float(shift),
    )  # fmt: skip
    if not stack:
        raise CannotRunError(f"oneDNN has no {variant.precision} primitive for {cell} on this processor")
    answer = np.zeros((job.steps, hidden), np.float32)
    address, run = answer.ctypes.data, library.step

    def step(chunk: Floats, _alive: object = (library, data)) -> Floats:
        run(stack, chunk.ctypes.data, address)
        return answer

    return step


def _range(job: Job) -> tuple[float, float]:
    """Return shift and scale of the u8 data, so that the signal fits, and h, which is between -1 and 1."""
    chunks = np.concatenate(job.chunks()[:100])
    most = max(float(np.abs(chunks).max()), 1.0)
    return 128.0, 127.0 / most
