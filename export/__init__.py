"""Export: turn a torch.nn.Module or a foreign ONNX file into a streaming ONNX file, proved equal to it.

torch and onnxruntime are imported only when an export runs, not with this package.
"""

from ..runtime import graph  # noqa: F401  first: it says what to do if onnx is not installed
from .exporter import ExportReport, export_model
from .factory import example_from_shape, load_module
from .lifter import LiftReport, lift
from .proof.comparison import Check
from .verifier import Verification, verify

__all__ = [
    "Check",
    "ExportReport",
    "LiftReport",
    "Verification",
    "example_from_shape",
    "export_model",
    "lift",
    "load_module",
    "verify",
]
