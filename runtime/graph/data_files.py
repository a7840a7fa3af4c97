"""Weights of a model in other files of its folder: read with every name, offset and size checked."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from onnx import TensorProto

from ..errors import ModelError
from ..files import MAX_FILE_BYTES, read_bytes

ONE_FILE = "save the model as one file: onnx.save(onnx.load(path), path)"
_ENTRIES = {"location", "offset", "length", "checksum"}  # of external_data; a checksum is not compared


@dataclass
class DataFiles:
    """The data files of a model.

    Attributes:
        path: The model.
        read: The content of each data file that was read, by its name.
        taken: How many bytes of each data file went into tensors.
    """

    path: str
    read: dict[str, bytes] = field(default_factory=dict)
    taken: Counter[str] = field(default_factory=Counter)

    @property
    def paths(self) -> list[Path]:
        """The data files that were read."""
        return [Path(self.path).parent / name for name in self.read]

    def bring_in(self, tensor: TensorProto, size: int) -> None:
        """Put the data of a tensor into the tensor itself, in place.

        Args:
            tensor: A tensor with data in another file.
            size: The bytes of its data, by its shape and type.

        Raises:
            ModelError: The name is not that of a regular file in the folder of the model, or offset and length do not
                fit the tensor and the file.
        """
        entries = {entry.key[:30]: entry.value[:1000] for entry in tensor.external_data}
        if tensor.data_location != TensorProto.EXTERNAL or entries.keys() - _ENTRIES:
            raise self._refusal(tensor, f"described by {', '.join(sorted(entries))}, wanted location, offset, length")
        name = entries.get("location", "")
        data = self._content(tensor, name)
        offset, length = (_number(entries.get(key, default)) for key, default in (("offset", "0"), ("length", size)))
        if offset is None or length != size or offset + size > len(data):
            seen = f"offset {entries.get('offset', '0')[:30]} and length {entries.get('length', 'of all')[:30]}"
            raise self._refusal(
                tensor, f"{seen} in {name!r} of {len(data)} bytes, wanted {size} bytes inside it; the file is damaged"
            )
        self.taken[name] += size
        if self.taken[name] > len(data):
            raise self._refusal(tensor, f"tensors share bytes of {name!r}, wanted bytes of its own; {ONE_FILE}")
        tensor.raw_data = data[offset : offset + size]
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]

    def _content(self, tensor: TensorProto, name: str) -> bytes:
        """Return the bytes of a data file; it is read once."""
        if name not in self.read:
            if name != Path(name).name or name in ("", ".", "..") or "\\" in name or "\0" in name:
                raise self._refusal(tensor, f"{name!r}, wanted the name of a file in the same folder; {ONE_FILE}")
            left = MAX_FILE_BYTES - sum(map(len, self.read.values()))
            try:
                self.read[name] = read_bytes(Path(self.path).parent / name, left, links=False)
            except (OSError, ModelError) as error:
                raise self._refusal(
                    tensor, f"{error}; copy the data file itself into the folder of the model"
                ) from None
        return self.read[name]

    def _refusal(self, tensor: TensorProto, reason: str) -> ModelError:
        return ModelError(f"{self.path}: {tensor.name!r} keeps its data in another file: {reason}")


def _number(text: object) -> int | None:
    """Return a size written in decimal digits; None for any other text."""
    digits = str(text)
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 20 else None
