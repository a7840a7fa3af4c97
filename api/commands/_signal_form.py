"""The form of the signal that a model takes: features, token ids or samples. Signals of another form are refused."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.contract import Contract
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.files import MAX_FILE_BYTES, read_bytes
from tidegate.runtime.load import naming
from tidegate.runtime.plan.magic import MAGIC
from tidegate.runtime.streams import side_by_side

LARGEST = 2.0**64  # a stream refuses values above it
ID_TYPES = (6, 7)  # int32 and int64 in ONNX


@dataclass(frozen=True)
class SignalForm:
    """The form of a model's signal.

    Attributes:
        contract: The contract of the model.
        sizes: The sizes of one frame: `(features,)`, or empty for token ids. 0 is a size that the file does not fix.
        ids: Whether the signal holds token ids.
        known: The number of ids that the model knows; 0 if there are none, or the file does not say it plainly.
    """

    contract: Contract
    sizes: tuple[int, ...]
    ids: bool
    known: int = 0

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the form of a model file's signal.

        Raises:
            ModelError: The file is not a streaming model.
            FileNotFoundError: There is no such file.
        """
        with naming(path):
            return cls.of_bytes(read_bytes(path, MAX_FILE_BYTES), path)

    @classmethod
    def of_bytes(cls, data: bytes, path: Path) -> Self:
        """Return the form of the signal of a model in memory; errors name the path.

        Raises:
            ModelError: It is not a streaming model.
        """
        return cls._of_plan(data) if data.startswith(MAGIC) else cls._of_onnx(data, path)

    @classmethod
    def _of_plan(cls, data: bytes) -> Self:
        from tidegate.runtime.plan.writer import read_header

        model, header = NativeModel(data), read_header(data)
        ids = bool(header.input_kind)
        return cls(model.contract, () if ids else (header.input_width,), ids)

    @classmethod
    def _of_onnx(cls, data: bytes, path: Path) -> Self:
        from tidegate.runtime.graph.graph import Graph

        graph = Graph.parse(data, path)
        port = graph.contract.inputs[0]
        types = {value.name: value.type.tensor_type for value in graph.model.graph.input}
        if port.name not in types:
            return cls(graph.contract, (0,), ids=False)  # every backend refuses the file
        dims = enumerate(types[port.name].shape.dim)
        sizes = tuple(dim.dim_value for axis, dim in dims if axis not in (port.time_axis, port.batch_axis))
        tables = (graph.constant(node.input[0]) for node in graph.consumers(port.name) if node.op_type == "Gather")
        known = min((len(table) for table in tables if table is not None), default=0)
        ids = types[port.name].elem_type in ID_TYPES
        return cls(graph.contract, sizes, ids, known if ids else 0)

    @property
    def by_name(self) -> bool:
        """Whether the model has several signals, or static inputs: then the arrays of a .npz file have their names."""
        return bool(self.contract.pieces) or any(state.kind == "static" for state in self.contract.states)

    @property
    def wanted(self) -> str:
        """The form in words, for errors."""
        sizes = ", ".join(str(size or "features") for size in self.sizes)
        return f"(frames, {sizes})" if sizes else "token ids (frames,), one per line in a text"

    def fit(self, values: Array, name: str) -> Array:
        """Return numbers as a stream takes them: float32 `[frames, features]`, or int64 `[frames]` for ids.

        One value per frame may also be `[frames]` or `[frames, 1]`. Ids may be whole floats.

        Args:
            values: The numbers.
            name: Where they are from, for errors.

        Raises:
            ChunkError: They have another shape or type.
        """
        if math.prod(self.sizes) == 1 and values.ndim and values.shape[1:] in ((), (1,)):
            values = values.reshape(len(values), *self.sizes)
        fits = values.ndim == 1 + len(self.sizes)
        if not fits or any(want not in (0, size) for want, size in zip(self.sizes, values.shape[1:], strict=True)):
            raise ChunkError(f"{name}: has shape {values.shape}, wanted {self.wanted}")
        return _as_ids(values, name) if self.ids else _as_float32(values, name)

    def none(self, name: str) -> Array:
        """Return a chunk without frames."""
        return self.fit(np.zeros((0, *self.sizes)), name)

    def fit_signals(self, signals: Mapping[str, Array], name: str) -> Floats:
        """Return several signals by name side by side, float32 `[frames, features]`.

        Args:
            signals: The frames of each.
            name: Where they are from, for errors.

        Raises:
            ChunkError: A signal is missing or unknown, or one has a wrong shape, type or number of frames.
        """
        try:
            return side_by_side(self.contract, signals)
        except ChunkError as error:
            raise ChunkError(f"{name}: {error}") from None

    def check(self, signal: Array, name: str) -> None:
        """Refuse a whole signal without frames, or with a value that a stream refuses.

        Args:
            signal: As `fit` returns it.
            name: Where it is from, for errors.

        Raises:
            ChunkError: There is no frame, a number is not finite or above 2^64, or an id is not known.
        """
        if not len(signal):
            raise ChunkError(f"{name}: holds no frame")
        least, most = (0, self.known - 1) if self.known else (-LARGEST, LARGEST)
        bad = np.argwhere(~((signal >= least) & (signal <= most)))
        if len(bad):
            wanted = f"ids from 0 to {most}" if self.known else "finite numbers up to 2^64"
            raise ChunkError(f"{name}, frame {bad[0][0]}: holds {signal[tuple(bad[0])]:.4g}, wanted {wanted}")

    def fit_recording(self, samples: Floats, rate: int, name: str) -> Floats:
        """Return the samples of a recording as the frames of the model: a feature per channel, or the samples of a hop.

        Samples after the last whole hop are left out.

        Args:
            samples: float32 `[samples, channels]`.
            rate: Samples per second.
            name: Where they are from, for errors.

        Raises:
            ChunkError: The sample rate or the number of channels differs, or the frames of the model are not samples.
        """
        wanted, hop, channels = self.contract.sample_rate, self.contract.hop or 1, samples.shape[1]
        if self.ids or (hop != 1 and not self.contract.samples):
            frames = "token ids" if self.ids else f"a frame every {hop} samples"
            raise ChunkError(f"{name}: is a recording, the model takes {frames}; give its frames as .npy or .csv")
        if wanted is not None and rate != wanted:
            raise ChunkError(f"{name}: has {rate} samples per second, the model takes {wanted:g}; resample it")
        if self.contract.samples and channels != 1:
            raise ChunkError(f"{name}: has {channels} channels, the front end of the model hears 1; give one of them")
        if self.contract.samples:
            return samples[: len(samples) // hop * hop].reshape(-1, hop)
        if self.sizes not in ((channels,), (0,)):
            raise ChunkError(f"{name}: has {channels} channels, wanted {self.wanted}: a channel is a feature")
        return samples


def _as_float32(values: Array, name: str) -> Floats:
    if not np.can_cast(values.dtype, np.float32, "same_kind"):
        raise ChunkError(f"{name}: holds {values.dtype}, wanted float32")
    with np.errstate(over="ignore"):  # too large a value becomes infinity, which the stream refuses
        return values.astype(np.float32, copy=False)


def _as_ids(values: Array, name: str) -> Array:
    if values.dtype.kind not in "iuf":
        raise ChunkError(f"{name}: holds {values.dtype}, wanted token ids, which are integers")
    with np.errstate(invalid="ignore"):
        ids = values.astype(np.int64)
    wrong = np.flatnonzero(ids != values)
    if wrong.size:
        raise ChunkError(f"{name}: holds {values[wrong[0]]} at frame {wrong[0]}, wanted token ids, which are integers")
    return ids
