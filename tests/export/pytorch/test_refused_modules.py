"""Modules that no export takes: the message names the way out, which is taken."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tidegate.export import export_model
from tidegate.export.pytorch.refused_modules import check_module
from tidegate.quant import quantize
from tidegate.runtime.errors import ExportError, UnsupportedError
from torch import Tensor, nn

EXAMPLE = torch.linspace(-1, 1, 54).reshape(1, 9, 6)
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch, about its older interfaces


class Net(nn.Module):
    """An LSTM with a head."""

    def __init__(self, head: type[nn.Module] = nn.Linear, **options: object) -> None:
        super().__init__()
        self.rnn = nn.LSTM(6, 8, batch_first=True, **options)
        self.fc = head(3) if head is nn.LazyLinear else nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc(self.rnn(x)[0])
        return answer


class Auto(Net):
    """Answers in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x)


def _lazy_called(module: nn.Module) -> nn.Module:
    module(EXAMPLE)
    return module


def _empty(module: nn.Module) -> nn.Module:
    made = module.to_empty(device="cpu")
    made.load_state_dict(Net().state_dict())
    return made


def _graph() -> nn.Module:
    return torch.export.export(Net().eval(), (EXAMPLE,)).module()


def _quantized() -> nn.Module:
    quantize: Callable[..., nn.Module] = torch.ao.quantization.quantize_dynamic
    return quantize(Net().eval(), {nn.Linear}, dtype=torch.qint8)


CASES: dict[str, tuple[Callable[[], nn.Module], str, Callable[[nn.Module], nn.Module]]] = {
    "graph": (_graph, "is a graph of torch.export, wanted the torch.nn.Module .*; export that one", lambda _: Net()),
    "quantized": (
        _quantized,
        r"module 'fc' \(Linear\) is quantized by torch, .*; export that one, then",
        lambda _: Net(),
    ),
    "meta": (lambda: Net().to("meta"), r"call module.to_empty\(device='cpu'\), then load them", _empty),
    "lazy": (lambda: Net(nn.LazyLinear), "call the module once, then load them", _lazy_called),
    "half": (lambda: Net().half(), r"is torch.float16, wanted torch.float32; call module.float\(\)", nn.Module.float),
    "autocast": (
        Auto,  # torch has no such LSTM where the processor has no bfloat16
        "bfloat16, wanted torch.float32; export it without autocast|own forward fails: RuntimeError: could not create",
        lambda _: Net(),
    ),
    "script": (
        lambda: torch.jit.script(nn.LSTM(6, 8, batch_first=True)),
        "several forwards or none, wanted one; script a module of yours whose forward calls it",
        lambda _: torch.jit.script(Net()),
    ),
    "projection": (
        lambda: Net(bidirectional=True, proj_size=4),
        "use bidirectional=False, or no proj_size",
        lambda _: Net(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_row_110_a_module_that_no_export_takes_is_refused_and_its_way_out_streams(name: str, tmp_path: Path) -> None:
    make, message, way_out = CASES[name]
    module = make()
    with pytest.raises((ExportError, UnsupportedError), match=message):
        export_model(module, EXAMPLE, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    export_model(way_out(module), EXAMPLE, tmp_path / "m.onnx")


def test_a_module_that_torch_quantized_is_quantized_after_its_export(tmp_path: Path) -> None:
    message = "export that one, then quantize the file with `tidegate quantize`"
    with pytest.raises(ExportError, match=message):
        export_model(_quantized(), EXAMPLE, tmp_path / "m.onnx")
    export_model(Net(), EXAMPLE, tmp_path / "m.onnx")
    assert quantize(tmp_path / "m.onnx", tmp_path / "q.onnx").bytes > 0


def test_a_frozen_script_is_exported(tmp_path: Path) -> None:
    """It has no flag of training, no parameters and no submodules."""
    export_model(torch.jit.freeze(torch.jit.script(Net().eval())), EXAMPLE, tmp_path / "m.onnx")


def test_a_float_module_passes() -> None:
    check_module(Net())
