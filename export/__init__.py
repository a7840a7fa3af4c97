"""Export: a torch.nn.Module in, a streaming ONNX file out that has proved equal to it.

torch and onnxruntime are imported when an export runs, not with this package.
"""

from .exporter import ExportReport, export_model
from .factory import example_from_shape, load_module
from .proof import Check

__all__ = ["Check", "ExportReport", "example_from_shape", "export_model", "load_module"]
