"""A file as its user loads it: on each backend that takes it."""

import os
from dataclasses import dataclass, field
from typing import Literal

from ...runtime.backends.native import NativeModel
from ...runtime.errors import ExportError, TidegateError
from ...runtime.load import IN_MEMORY, load
from ...runtime.streams import Model

BACKENDS: tuple[Literal["native", "onnxruntime"], ...] = ("native", "onnxruntime")


@dataclass(frozen=True)
class Loaded:
    """A file on its backends.

    Attributes:
        models: The loaded models by backend, the engine first.
        refused: The reasons of the backends that do not run the file.
    """

    models: dict[str, Model] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def preferred(self) -> Model:
        """The model on onnxruntime, whose floats are the original's; on the engine if only the engine runs the file."""
        return self.models.get("onnxruntime") or next(iter(self.models.values()))

    @property
    def quantized(self) -> bool:
        """Whether the engine runs the file and has quantized weights; it then rounds activations too."""
        native = self.models.get("native")
        return isinstance(native, NativeModel) and native.quantized


def load_everywhere(data: bytes, path: str | os.PathLike[str]) -> Loaded:
    """Load the bytes of a file on each backend.

    Args:
        data: The bytes.
        path: The name of the file, for messages.

    Raises:
        ExportError: No backend runs the file.
    """
    found = Loaded()
    for backend in BACKENDS:
        try:
            found.models[backend] = load(data, backend)
        except TidegateError as error:
            found.refused[backend] = str(error).replace(IN_MEMORY, os.fspath(path))
    if not found.models:
        raise ExportError(f"{os.fspath(path)}: no backend runs it: {'; '.join(found.refused.values())}")
    return found
