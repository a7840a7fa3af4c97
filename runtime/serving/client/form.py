"""The form of a model's frames and answers, as its server says it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import Answer, Array, Chunk, joined_answers
from ...errors import ChunkError, ServerError
from ..wire import answer_sizes

MOST_SIZES = 2**20  # values of a frame or an answer that a server may name


@dataclass(frozen=True)
class Form:
    """What a server says of its model.

    Attributes:
        dtype: The type of a frame's values.
        shape: The sizes of one frame.
        signals: Names and sizes of several signals, which lie side by side in a frame.
        outputs: Name, sizes of one answer, and whether each frame has one.
        frames: The most frames of a chunk.
        durable: Whether the server has a store.
    """

    dtype: str
    shape: tuple[int, ...]
    signals: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...], bool], ...]
    frames: int
    durable: bool

    @classmethod
    def from_json(cls, text: str | bytes) -> "Form":
        """Read the first message of a server.

        Raises:
            ServerError: It is not that of a server of this version.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields["tidegate"] != 1 or fields["type"] not in ("float32", "int32"):
                raise ServerError(f"the server speaks version {fields['tidegate']}, wanted 1; update one of both")
            form = cls(
                {"float32": "<f4", "int32": "<i4"}[fields["type"]],
                tuple(map(int, fields["shape"])),
                tuple((str(one["name"]), tuple(map(int, one["shape"]))) for one in fields["signals"]),
                tuple((str(o["name"]), tuple(map(int, o["shape"])), bool(o["timed"])) for o in fields["outputs"]),
                max(int(fields["limits"]["frames"]), 1),
                bool(fields["durable"]),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ServerError(f"the server's first message is not that of tidegate ({str(error)[:80]})") from None
        shapes = (form.shape, *(shape for _, shape in form.signals), *(shape for _, shape, _ in form.outputs))
        if not form.outputs or not all(
            0 < math.prod(shape) <= MOST_SIZES and min(shape, default=1) > 0 for shape in shapes
        ):
            raise ServerError(f"the server's model has frames or answers of sizes {shapes}, which no model has")
        return form

    def frames_of(self, chunk: Chunk) -> Array:
        """Return a chunk as the wire has it: `[frames, ...]`.

        Raises:
            ChunkError: It has another shape or type, or other signals.
        """
        values = self._side_by_side(chunk) if isinstance(chunk, Mapping) else np.asarray(chunk)
        kind = np.integer if self.dtype == "<i4" else np.floating
        if values.shape[1:] != self.shape or not values.ndim or not np.issubdtype(values.dtype, kind):
            wanted = ", ".join(map(str, ("frames", *self.shape)))
            raise ChunkError(f"chunk is {values.dtype} {values.shape}, wanted {np.dtype(self.dtype)} ({wanted})")
        with np.errstate(over="ignore"):  # too large a value becomes infinity, which the server refuses
            return np.ascontiguousarray(values, self.dtype)

    def answer_of(self, payload: bytes, frames: int) -> Answer:
        """Return an answer as a stream gives it.

        Raises:
            ServerError: It has not the bytes that the model's outputs have.
        """
        found, at = {}, 0
        for name, shape, timed in self.outputs:
            sizes = answer_sizes(frames, shape, timed=timed)
            count = math.prod(sizes)
            if len(payload) < at + 4 * count:
                raise ServerError(f"the server's answer has {len(payload)} bytes, wanted more for output {name!r}")
            found[name] = np.frombuffer(payload, "<f4", count, at).reshape(sizes).copy()
            at += 4 * count
        return _one_or_all(found)

    def joined(self, answers: Sequence[Answer]) -> Answer:
        """Return the answer to a chunk from those to its parts."""
        return joined_answers(answers, {name: timed for name, _, timed in self.outputs})

    def _side_by_side(self, chunk: Mapping[str, Array]) -> Array:
        names = [name for name, _ in self.signals]
        if not names and len(chunk) == 1:
            return np.asarray(next(iter(chunk.values())))
        if set(chunk) != set(names):
            raise ChunkError(f"chunk has the signals {', '.join(chunk)}, wanted {', '.join(names) or 'one array'}")
        parts = [np.asarray(chunk[name]) for name in names]
        if any(len(part) != len(parts[0]) for part in parts):
            frames = ", ".join(str(len(part)) for part in parts)
            raise ChunkError(f"the signals have {frames} frames, wanted as many of each")
        return np.concatenate([part.reshape(len(part), -1) for part in parts], 1)


def _one_or_all(answers: dict[str, Array]) -> Answer:
    return answers if len(answers) > 1 else next(iter(answers.values()))
