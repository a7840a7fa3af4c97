"""A model as doors need it: bytes of frames in, bytes of answers out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..arrays import Answer, Array, Chunk
from ..errors import ModelError
from ..load import Source, file_and_plan, load
from ..plan.magic import text_of
from ..plan.text import read_text
from ..plan.writer import read_header
from ..streams import Model, apart
from .wire import answer_sizes


@dataclass(frozen=True)
class Output:
    """One output of a served model.

    Attributes:
        name: Its name.
        shape: The sizes of one answer.
        timed: Whether there is one answer per frame; else one per chunk, for its last frame.
    """

    name: str
    shape: tuple[int, ...]
    timed: bool


@dataclass(frozen=True)
class ServedModel:
    """A model on the engine, and the form of its frames and answers.

    Attributes:
        name: What clients call it.
        model: The model.
        shape: The sizes of one frame; several signals are side by side; empty for ids.
        ids: Whether frames are ids.
        outputs: Its outputs in the order of their bytes in an answer.
        source: The hash of its file: another version of tidegate may compile another plan from it.
        layout: The hash of the layout of its state.
        file: Its file; None: it came from memory.
        require: The public key that must have signed the file, now and whenever it is read again.
        release: With it: the oldest release that is accepted.
    """

    name: str
    model: Model
    shape: tuple[int, ...]
    ids: bool
    outputs: tuple[Output, ...]
    source: bytes
    layout: bytes
    file: Path | None
    require: Path | None = None
    release: int = 0

    @classmethod
    def of(cls, source: Source, name: str = "", require: Path | None = None, release: int = 0) -> Self:
        """Open a plan or a streaming ONNX file, which is compiled.

        Args:
            source: The path of the file, or its bytes.
            name: What clients call it; default: the file's name up to its first dot.
            require: The public key that must have signed the file, as for `load`.
            release: With it: the oldest release that is accepted.

        Raises:
            ModelError: It is not a model, or the engine does not run it.
            SignatureError: It is not signed as `require` and `release` say.
            FileNotFoundError: There is no such file.
        """
        data, plan = file_and_plan(source, require, release)
        model, header, text = load(plan), read_header(plan), read_text(text_of(plan))
        ids = bool(header.input_kind)
        shape = () if ids else text.frame or (header.input_width,)
        file = Path(source) if isinstance(source, str | Path) else None
        named = name or (file.name.partition(".")[0] if file else "model")
        hashes = _hash(data), _hash(model.layout.encode())
        return cls(named, model, shape, ids, _outputs(model, shape, ids=ids), *hashes, file, require, release)

    def read_again(self) -> Self:
        """Return what is in its file now.

        Raises:
            ModelError: It came from memory, or its file is no model, or not signed as before.
            OSError: It cannot be read.
        """
        if self.file is None:
            raise ModelError(f"{self.name} came from memory, not from a file that can be read again")
        return self.of(self.file, self.name, self.require, self.release)

    @cached_property
    def frame_bytes(self) -> int:
        """Bytes of one frame on the wire: float32, or one int32 for an id."""
        return 4 * math.prod(self.shape)

    def answer_values(self, frames: int) -> int:
        """Return how many values the answer to a chunk has."""
        return sum(math.prod(answer_sizes(frames, output.shape, timed=output.timed)) for output in self.outputs)

    def chunks(self, payloads: Sequence[bytes], frames: int) -> Chunk:
        """Return chunks of as many frames each, from their bytes, as a group takes them: `[rows, frames, ...]`."""
        joined = np.frombuffer(b"".join(payloads), "<i4" if self.ids else "<f4")
        values: Array = joined.reshape(len(payloads), frames, *self.shape)
        return apart(self.model.contract.pieces, values)

    def payloads(self, answers: Answer, rows: int) -> list[bytes]:
        """Return the answers of a group `[rows, ...]` as bytes of each row, one output after the other."""
        arrays = [answers[output.name] for output in self.outputs] if isinstance(answers, dict) else [answers]
        parts = [_cut(array, rows) for array in arrays]
        return parts[0] if len(parts) == 1 else [b"".join(row) for row in zip(*parts, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Return what a client needs to know, for JSON."""
        contract = self.model.contract
        return {
            "model": self.name,
            "type": "int32" if self.ids else "float32",
            "shape": list(self.shape),
            "signals": [{"name": piece.name, "shape": list(piece.shape)} for piece in contract.pieces],
            "outputs": [
                {"name": output.name, "shape": list(output.shape), "timed": output.timed} for output in self.outputs
            ],
            "frame_seconds": contract.frame_seconds,
        }

    def check_form(self, other: "ServedModel") -> None:
        """Refuse another plan in the place of this one if its frames or answers are others: clients were told these.

        Raises:
            ModelError: A part of the form is another.
        """
        found = other.describe()
        for name, wanted in self.describe().items():
            if found[name] != wanted:
                seen = f"{name} of the new plan is {found[name]}, wanted {wanted}"
                raise ModelError(f"{self.name}: {seen}; serve it under another name")


def _outputs(model: Model, shape: tuple[int, ...], *, ids: bool) -> tuple[Output, ...]:
    """Return the outputs of a model, whose shapes one frame of zeros shows."""
    frames: Array = np.zeros((1, *shape), np.int32 if ids else np.float32)
    answer = model.stream().push(apart(model.contract.pieces, frames))
    ports = model.contract.outputs
    arrays = answer if isinstance(answer, dict) else {ports[0].name: answer}
    timed = {port.name: port.time_axis is not None for port in ports}
    return tuple(
        Output(name, array.shape[1:] if timed[name] else array.shape, timed[name]) for name, array in arrays.items()
    )


def _cut(array: Array, rows: int) -> list[bytes]:
    """Return the bytes of each row of an array."""
    data = np.ascontiguousarray(array, "<f4").tobytes()
    size = len(data) // rows
    return [data[at : at + size] for at in range(0, size * rows, size)] if size else [b""] * rows


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
