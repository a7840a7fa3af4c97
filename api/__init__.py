"""tidegate: export trained recurrent networks, quantize them, and stream them on small devices.

A public name is imported when it is first used. So `import tidegate` needs neither onnx nor onnxruntime nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.export import ExportReport as ExportReport
    from tidegate.export import LiftReport as LiftReport
    from tidegate.export import Verification as Verification
    from tidegate.export import export_model as export_model
    from tidegate.export import lift as lift
    from tidegate.export import verify as verify
    from tidegate.export.lookahead_curve import LookaheadPoint as LookaheadPoint
    from tidegate.export.lookahead_curve import lookahead_curve as lookahead_curve
    from tidegate.quant import QuantizationReport as QuantizationReport
    from tidegate.quant import quantize as quantize
    from tidegate.quant.tuning.layers import tunable as tunable
    from tidegate.runtime.contract import Contract as Contract
    from tidegate.runtime.device.compiling import write_device_folder as write_device_folder
    from tidegate.runtime.device.folder import DeviceReport as DeviceReport
    from tidegate.runtime.errors import BackendError as BackendError
    from tidegate.runtime.errors import ChunkError as ChunkError
    from tidegate.runtime.errors import ContractError as ContractError
    from tidegate.runtime.errors import DeviceError as DeviceError
    from tidegate.runtime.errors import ExportError as ExportError
    from tidegate.runtime.errors import ModelError as ModelError
    from tidegate.runtime.errors import PlanError as PlanError
    from tidegate.runtime.errors import QuantizationError as QuantizationError
    from tidegate.runtime.errors import RefusedRowsError as RefusedRowsError
    from tidegate.runtime.errors import RowError as RowError
    from tidegate.runtime.errors import ServerError as ServerError
    from tidegate.runtime.errors import SignatureError as SignatureError
    from tidegate.runtime.errors import SnapshotError as SnapshotError
    from tidegate.runtime.errors import StateError as StateError
    from tidegate.runtime.errors import TidegateError as TidegateError
    from tidegate.runtime.errors import UnsupportedError as UnsupportedError
    from tidegate.runtime.inspection import Inspection as Inspection
    from tidegate.runtime.inspection import inspect_file as inspect_file
    from tidegate.runtime.live.answers import LiveAnswer as LiveAnswer
    from tidegate.runtime.live.live import live as live
    from tidegate.runtime.live.running import Live as Live
    from tidegate.runtime.load import compile_model as compile_model
    from tidegate.runtime.load import load as load
    from tidegate.runtime.load import sign as sign
    from tidegate.runtime.streams import Group as Group
    from tidegate.runtime.streams import Model as Model
    from tidegate.runtime.streams import Stream as Stream

__version__ = "0.1.0"

_HOMES = {
    "tidegate.export": ["ExportReport", "LiftReport", "Verification", "export_model", "lift", "verify"],
    "tidegate.export.lookahead_curve": ["LookaheadPoint", "lookahead_curve"],
    "tidegate.quant": ["QuantizationReport", "quantize"],
    "tidegate.quant.tuning.layers": ["tunable"],
    "tidegate.runtime.contract": ["Contract"],
    "tidegate.runtime.device.compiling": ["write_device_folder"],
    "tidegate.runtime.device.folder": ["DeviceReport"],
    "tidegate.runtime.errors": [
        "BackendError",
        "ChunkError",
        "ContractError",
        "DeviceError",
        "ExportError",
        "ModelError",
        "PlanError",
        "QuantizationError",
        "RefusedRowsError",
        "RowError",
        "ServerError",
        "SignatureError",
        "SnapshotError",
        "StateError",
        "TidegateError",
        "UnsupportedError",
    ],
    "tidegate.runtime.inspection": ["Inspection", "inspect_file"],
    "tidegate.runtime.live.answers": ["LiveAnswer"],
    "tidegate.runtime.live.live": ["live"],
    "tidegate.runtime.live.running": ["Live"],
    "tidegate.runtime.load": ["compile_model", "load", "sign"],
    "tidegate.runtime.streams": ["Group", "Model", "Stream"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # noqa: PLE0605  a list of names, sorted


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tidegate' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
