"""Sessions of onnxruntime with one thread that does not spin."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..arrays import Array
from ..errors import BackendError, ModelError


class RunError(ModelError):
    """A session fails on the values that it is given."""


def session_options(onnxruntime: Any) -> Any:  # noqa: ANN401  onnxruntime has no types
    """Return options for one thread that does not spin; activations stay float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")  # float32, not int8 activations
    options.log_severity_level = 3
    return options


def open_session(model: bytes) -> Any:  # noqa: ANN401  onnxruntime has no types
    """Open a session with one thread that does not spin.

    Raises:
        BackendError: onnxruntime is not installed.
        ModelError: onnxruntime refuses the model.
    """
    try:
        import onnxruntime
    except ImportError:
        raise BackendError("onnxruntime is not installed; pip install 'tidegate[onnxruntime]'") from None
    try:
        return onnxruntime.InferenceSession(model, session_options(onnxruntime), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  onnxruntime has some ten classes for it, all under Exception
        raise ModelError(f"onnxruntime refuses the model: {error}") from None


def run_session(session: Any, names: Sequence[str], feeds: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ANN401
    """Run a session and return the named values.

    Raises:
        RunError: onnxruntime fails. (It has about ten classes for that, all directly under Exception.)
    """
    try:
        return dict(zip(names, session.run(names, feeds), strict=True))
    except Exception as error:  # noqa: BLE001
        raise RunError(f"onnxruntime fails on this chunk: {error}; the state is unchanged") from None
