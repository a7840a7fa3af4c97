"""The exceptions of tidegate, one tree.

TidegateError
  ├── ModelError          the file is not a model that tidegate can use
  │     ├── ContractError     its streaming contract is missing, wrong or ambiguous
  │     ├── UnsupportedError  it holds an operator or option that the chosen backend lacks
  │     ├── PlanError         a compiled plan is truncated, altered or of another version
  │     └── SignatureError    a file is not signed by the key that is required, or a key cannot be used
  ├── ExportError         a module could not be exported, or its file did not prove equal
  ├── QuantizationError   a weight could not be quantized as asked
  ├── ChunkError          a chunk has the wrong shape or type, or a value that is refused
  │     └── RefusedRowsError  chunks of some rows of a group are refused; it carries the answers of the others
  ├── RowError            a row of a group is not there, has not joined, or none is free
  ├── StateError          a state given by name is not one of the model, or its shape or a value is refused
  ├── SnapshotError       a snapshot is truncated, altered or of another model
  ├── BackendError        a backend, instruction set or optional package is not there
  ├── DeviceError         a model could not be built for a device
  └── ServerError         a server cannot be reached, refuses a stream, or has lost it

Each message names the thing, the value seen, the value wanted and the way out.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arrays import Answer  # `tidegate --help` needs errors, and not numpy


class TidegateError(Exception):
    """Root of all errors that tidegate raises on purpose."""


class ModelError(TidegateError, ValueError):
    """The file is not a model that tidegate can use."""


class ContractError(ModelError):
    """The streaming contract of a model is missing, wrong or ambiguous."""


class UnsupportedError(ModelError):
    """The model holds an operator or an option that the chosen backend does not have."""


class PlanError(ModelError):
    """A compiled plan is truncated, altered or of another version."""


class SignatureError(ModelError):
    """A file is not signed by the key that is required, or is an older release; or a key cannot be used."""


class ExportError(TidegateError):
    """A module could not be exported, or the exported file did not prove equal to it."""


class QuantizationError(TidegateError, ValueError):
    """A weight could not be quantized as asked."""


class ChunkError(TidegateError, ValueError):
    """A chunk has the wrong shape or type, or holds a value that is refused; the state is unchanged."""


class RefusedRowsError(ChunkError):
    """Chunks of some rows of a group are refused, their states unchanged; the other rows were streamed.

    Attributes:
        answers: What the push would have returned; NaN where a row was refused.
        refused: Why, by row.
    """

    def __init__(self, answers: "Answer", refused: Mapping[int, str], pushed: int) -> None:
        self.answers = answers
        self.refused = dict(refused)
        reasons = "; ".join(f"row {row}: {why}" for row, why in self.refused.items())
        others = f"the answers of the other {pushed - len(self.refused)} are in `answers`"
        super().__init__(f"{len(self.refused)} of {pushed} rows refused, {others}; {reasons}")


class RowError(TidegateError, ValueError):
    """A row of a group does not exist, has not joined, has joined already, or none is free. The group is unchanged."""


class StateError(TidegateError, ValueError):
    """A state given by name is not one of the model, or has a wrong shape or a value that is refused."""


class SnapshotError(TidegateError, ValueError):
    """A snapshot is truncated, altered, of another model or of another backend; the stream is unchanged."""


class BackendError(TidegateError):
    """A backend, an instruction set or an optional package is not available."""


class DeviceError(TidegateError):
    """A model could not be built for a device."""


class ServerError(TidegateError):
    """A server cannot be reached, refuses a stream, or has lost it."""
