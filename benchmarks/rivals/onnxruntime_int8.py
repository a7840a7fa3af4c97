"""onnxruntime's own int8 LSTM: DynamicQuantizeLSTM, as its `quantize_dynamic` writes it."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.contract import Contract
from ...runtime.errors import BackendError, ModelError
from ...runtime.onnxruntime_session import open_session
from .. import lstms
from .onnxruntime_session import Step, steppers

PRECISION = "int8"
OPERATOR = "DynamicQuantizeLSTM"


def from_layers(layers: Sequence[lstms.Layer], frames: int) -> dict[str, Step]:
    """Return steppers `IOBinding` and `run` of a stack for chunks `[frames, 1, features]`.

    Args:
        layers: The stack, bottom first, in PyTorch's layout.
        frames: Frames of every chunk; fixed in the file.

    Raises:
        BackendError: onnxruntime is not installed, or its quantizer left an LSTM in float.
    """
    example = np.zeros((frames, 1, layers[0].w.shape[1]), np.float32)
    return from_model(lstms.streaming_model(layers, frames=frames, batch=1), lstms.contract(layers), example)


def from_model(model: onnx.ModelProto, contract: Contract, example: Array) -> dict[str, Step]:
    """Return steppers `IOBinding` and `run` of a float model, quantized, for chunks of the example's shape.

    Raises:
        BackendError: onnxruntime is not installed, or its quantizer left an LSTM in float.
        ModelError: There is no LSTM, or the quantizer fails.
    """
    return steppers(open_session(quantized(model)), contract, example)


def quantized(model: onnx.ModelProto, *, per_channel: bool = False) -> bytes:
    """Quantize a model with onnxruntime's `quantize_dynamic` and check that every LSTM became int8.

    Args:
        model: A float model whose weights are constant.
        per_channel: A scale a row in place of one a matrix. The default is the faster (measured: 72 us for
            77 on LSTM 256 -> 512 x2) and, on random weights, as exact.

    Raises:
        BackendError: onnxruntime is not installed, or its quantizer left an LSTM in float.
        ModelError: There is no LSTM, or the quantizer fails.
    """
    wanted = Counter(node.op_type for node in model.graph.node)["LSTM"]
    if wanted == 0:
        raise ModelError("no LSTM in the graph: onnxruntime's int8 has no other recurrent operator")
    data = _quantize_dynamic(model, per_channel)
    found = Counter(node.op_type for node in onnx.load_model_from_string(data).graph.node)
    if found[OPERATOR] != wanted or found["LSTM"]:
        raise BackendError(
            f"onnxruntime's quantize_dynamic made {found[OPERATOR]} {OPERATOR} of {wanted} LSTM and left "
            f"{found['LSTM']} in float; a comparison with it would not be one of int8"
        )
    return data


def _quantize_dynamic(model: onnx.ModelProto, per_channel: bool) -> bytes:
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise BackendError("onnxruntime is not installed; pip install 'tidegate[onnxruntime]'") from None
    with TemporaryDirectory(prefix="tidegate-") as folder, _without_advice():
        target = Path(folder, "int8.onnx")
        try:
            quantize_dynamic(
                model, target, per_channel=per_channel, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM"]
            )
        except Exception as error:  # noqa: BLE001  the quantizer has no exceptions of its own
            raise ModelError(f"onnxruntime's quantize_dynamic fails: {type(error).__name__}: {error}") from None
        return target.read_bytes()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantizer from advising on standard error to run its pre-processing, which changes nothing here."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
