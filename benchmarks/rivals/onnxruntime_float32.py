"""onnxruntime on the float32 form of a model: what `tidegate.load(path, backend="onnxruntime")` runs."""

import onnx

from ...runtime.arrays import Array
from ...runtime.contract import Contract
from ...runtime.onnxruntime_session import open_session
from .onnxruntime_session import Step, steppers

PRECISION = "float32"


def from_model(model: onnx.ModelProto, contract: Contract, example: Array) -> dict[str, Step]:
    """Return steppers `IOBinding` and `run` of a float model for chunks of the example's shape.

    Raises:
        BackendError: onnxruntime is not installed.
        ModelError: onnxruntime refuses the model.
    """
    return steppers(open_session(model.SerializeToString()), contract, example)
