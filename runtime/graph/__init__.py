"""ONNX graphs: checked, parsed, indexed and cut into stages.

Whatever reads or writes an ONNX file imports this package, so it says once what to do if onnx is not installed.
"""

from ..errors import BackendError

try:
    import onnx  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise  # it is installed, but a package that it needs is missing
    raise BackendError(
        "onnx is not installed; ONNX files need it, and compiled plans do not: pip install 'tidegate[onnx]'"
    ) from None
