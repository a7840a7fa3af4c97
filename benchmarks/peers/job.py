"""What is measured, as a folder of files: any runtime's process can read it."""

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
    """A runtime does not do what was asked; the message is the reason."""


@dataclass(frozen=True)
class Variant:
    """One way to run a peer.

    Attributes:
        precision: `float32`, `int8` and so on, as the peer calls it; for tidegate W8A16 and its like.
        how: The call that is timed, or what else tells two ways apart.
    """

    precision: str
    how: str


@dataclass(frozen=True)
class Stack:
    """A stack of recurrent layers alone: what adapters build that take weights and no ONNX file.

    Attributes:
        cell: `LSTM`, `GRU` or `RNN` (tanh).
        features: Features of a frame.
        hidden: Units of a layer.
        layers: Layers.
    """

    cell: str
    features: int
    hidden: int
    layers: int


@dataclass(frozen=True)
class Job:
    """A model, a signal, and the answers wanted.

    Attributes:
        folder: Where its files are: `float.onnx`, the streaming model with its contract beside it as JSON;
            `given.onnx`, where it was made from a quantized one, that; or only a compiled plan, `given.tide`;
            `signal.npy` float32 `[frames, features]`; `exact.npy` float64, the answers to it in order, one row each, or
            `exact.txt`, why there are none;
            for a stack `weights.npz`, `w0_ih`, `w0_hh`, `b0_ih`, `b0_hh` of each layer in PyTorch's layout.
        case: Its name.
        steps: Frames of a chunk.
        stack: The sizes of a stack; None for a whole net.
        rate: Chunks a second of its source; 0 where nothing says it.
    """

    folder: Path
    case: str
    steps: int
    stack: Stack | None
    rate: float = 0.0

    @property
    def path(self) -> Path:
        """Its own file: jobs that differ in `steps` alone share a folder."""
        return self.folder / f"job-{self.steps}.json"

    def save(self) -> None:
        """Write the file."""
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
            CannotRunError: There is none: the job is a compiled plan's.
        """
        if (self.folder / PLAN).exists():
            raise CannotRunError("no other runtime runs a compiled plan; give the ONNX file to compare")
        return self.folder / MODEL

    @property
    def contract(self) -> dict[str, Any]:
        """The streaming contract: `inputs`, `outputs` and `states`, as in the file's metadata."""
        fields: dict[str, Any] = json.loads((self.folder / CONTRACT).read_text())
        return fields

    def chunks(self) -> list[Floats]:
        """Return the signal in chunks `[steps, features]`; a last part that is shorter is left out."""
        signal = np.load(self.folder / SIGNAL)
        count = len(signal) // self.steps
        return [np.ascontiguousarray(chunk) for chunk in np.split(signal[: count * self.steps], count)]

    def exact(self) -> npt.NDArray[np.float64]:
        """Return the answers wanted, a row each."""
        answers: npt.NDArray[np.float64] = np.load(self.folder / EXACT)
        return answers

    def weights(self, *cells: str) -> list[tuple[Floats, Floats, Floats, Floats]]:
        """Return weight_ih, weight_hh, bias_ih and bias_hh of each layer of a stack, bottom first.

        Args:
            cells: The cells that the caller can build.

        Raises:
            CannotRunError: The model is not a stack, or one of another cell.
        """
        if self.stack is None:
            raise CannotRunError("driven for stacks of recurrent layers alone: it reads no ONNX file")
        if self.stack.cell not in cells:
            raise CannotRunError(f"driven for {' and '.join(cells)} alone")
        with np.load(self.folder / WEIGHTS) as stored:
            w, r, b, c = "w{}_ih", "w{}_hh", "b{}_ih", "b{}_hh"
            layers = range(self.stack.layers)
            return [
                (stored[w.format(n)], stored[r.format(n)], stored[b.format(n)], stored[c.format(n)]) for n in layers
            ]

    def made(self, name: str) -> Path:
        """Return where an adapter keeps a file that it made."""
        return self.folder / name
