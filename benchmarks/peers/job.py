"""A job: a model, a signal and the exact answers, as files that the process of any peer can read."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Step = Callable[[Floats], Any]

CONTRACT = "contract.json"
MODEL = "float.onnx"
GIVEN, PLAN = "given.onnx", "given.tide"
WEIGHTS = "weights.npz"
SIGNAL, EXACT, INEXACT = "signal.npy", "exact.npy", "exact.txt"


class CannotRunError(Exception):
    """A peer cannot do what was asked; the message is the reason."""


@dataclass(frozen=True)
class Variant:
    """One way to run a peer.

    Attributes:
        precision: The precision as the peer calls it: `float32`, `int8` and so on; for tidegate for example W8A16.
        how: The call that is timed, or another difference between two variants of one precision.
    """

    precision: str
    how: str


@dataclass(frozen=True)
class Stack:
    """The sizes of a stack of recurrent layers, for adapters that take weights in place of an ONNX file.

    Attributes:
        cell: `LSTM`, `GRU` or `RNN` (tanh).
        features: Features of a frame.
        hidden: Units of a layer.
        layers: Number of layers.
    """

    cell: str
    features: int
    hidden: int
    layers: int


@dataclass(frozen=True)
class Job:
    """A model, a signal and the exact answers.

    The files in the job's folder are:

    - `float.onnx`: the streaming model in float32; absent if the job was made from a compiled plan;
    - `contract.json`: its contract;
    - `given.onnx`: the quantized file from which the job was made, if its weights are codes;
    - `given.tide`: the compiled plan from which the job was made, if it was a plan;
    - `signal.npy`: the signal, float32 `[frames, features]`, or ids `[frames]` of the type that the file reads;
    - `exact.npy`: the exact answers in order, float64 `[answers, features]`; or `exact.txt`, why there are none;
    - `weights.npz`: for a stack, `w0_ih`, `w0_hh`, `b0_ih`, `b0_hh` and so on for each layer, in PyTorch's layout.

    Attributes:
        folder: The folder.
        case: The name of the case.
        steps: Frames per chunk.
        stack: The sizes of the stack; None for any other net.
        rate: Chunks per second of the signal's source; 0 if unknown.
    """

    folder: Path
    case: str
    steps: int
    stack: Stack | None
    rate: float = 0.0

    @property
    def path(self) -> Path:
        """The job's own file; jobs that differ only in `steps` share a folder."""
        return self.folder / f"job-{self.steps}.json"

    def save(self) -> None:
        """Write the job's own file."""
        self.path.write_text(json.dumps(asdict(self) | {"folder": None}))

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Read what `save` wrote."""
        fields = json.loads(path.read_text())
        stack = None if fields["stack"] is None else Stack(**fields["stack"])
        return cls(path.parent, fields["case"], fields["steps"], stack, fields["rate"])

    @property
    def model(self) -> Path:
        """The streaming ONNX file in float32.

        Raises:
            CannotRunError: The job was made from a compiled plan, so that there is no such file.
        """
        if (self.folder / PLAN).exists():
            raise CannotRunError("only tidegate runs a compiled plan; give the ONNX file to compare")
        return self.folder / MODEL

    @property
    def contract(self) -> dict[str, Any]:
        """The streaming contract: `inputs`, `outputs` and `states`, as in the file's metadata."""
        fields: dict[str, Any] = json.loads((self.folder / CONTRACT).read_text())
        return fields

    def chunks(self) -> list[Floats]:
        """Return the signal in chunks `[steps, features]`, of ids `[steps]`, without a last shorter one."""
        signal = np.load(self.folder / SIGNAL)
        count = len(signal) // self.steps
        return [np.ascontiguousarray(chunk) for chunk in np.split(signal[: count * self.steps], count)]

    def exact(self) -> npt.NDArray[np.float64]:
        """Return the exact answers, float64 `[answers, features]`."""
        answers: npt.NDArray[np.float64] = np.load(self.folder / EXACT)
        return answers

    def weights(self, *cells: str) -> list[tuple[Floats, Floats, Floats, Floats]]:
        """Return weight_ih, weight_hh, bias_ih and bias_hh of each layer of a stack, bottom first.

        Args:
            cells: The cells that the caller can build.

        Raises:
            CannotRunError: The model is not a stack, or its cell is another one.
        """
        if self.stack is None:
            raise CannotRunError("this adapter builds stacks of recurrent layers only; it does not read ONNX files")
        if self.stack.cell not in cells:
            raise CannotRunError(f"this adapter builds {' and '.join(cells)} only, the stack is {self.stack.cell}")
        with np.load(self.folder / WEIGHTS) as stored:
            w, r, b, c = "w{}_ih", "w{}_hh", "b{}_ih", "b{}_hh"
            layers = range(self.stack.layers)
            return [
                (stored[w.format(n)], stored[r.format(n)], stored[b.format(n)], stored[c.format(n)]) for n in layers
            ]

    def made(self, name: str) -> Path:
        """Return the path of a file that an adapter makes."""
        return self.folder / name
