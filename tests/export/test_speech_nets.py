"""Small nets of noise suppression: exported, lifted, quantized, and streamed on the engine as their module."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.runtime.arrays import Array
from tools.speech_nets import Crn, DeepFilter, GroupedTemporal, Gtcrn, SubBand
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter

FRAMES = 23
FLOAT, INT8 = 3e-6, 0.05  # bounds of the error of answers, relative to the largest

# Each net with the sizes of a frame and the axis of its frames in [batch, channels, ...].
NETS: dict[str, tuple[type[nn.Module], tuple[int, int], int]] = {
    "gtcrn": (Gtcrn, (3, 33), 2),
    "deep filter": (DeepFilter, (1, 8), 2),
    "full and sub-band": (SubBand, (1, 9), 3),
    "crn": (Crn, (1, 17), 2),
}


def net(name: str) -> tuple[nn.Module, Array, int]:
    """Return a net as after training, frames, and their axis in the module's input."""
    torch.manual_seed(0)
    kind, (channels, bins), axis = NETS[name]
    module = kind().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            size = part.num_features
            part.running_mean, part.running_var = torch.randn(size) / 9, torch.rand(size) + 0.5
    x = np.random.default_rng(0).standard_normal((FRAMES, channels, bins)).astype(np.float32)
    return module, x, axis


def batched(x: Array, axis: int) -> torch.Tensor:
    """Return frames as the module takes them."""
    return torch.tensor(np.moveaxis(x, 0, axis - 1)[None])


def answers(module: nn.Module, x: Array, axis: int) -> list[Array]:
    """Return a module's answers, each with the frames first."""
    with torch.no_grad():
        made = module(batched(x, axis))
    listed = made if isinstance(made, tuple) else (made,)
    return [np.moveaxis(one[0].numpy(), axis - 1 if one.ndim == 4 else 0, 0) for one in listed]


def streamed(path: Path, x: Array, chunk: int) -> list[Array]:
    """Return the engine's answers, each with the frames first."""
    stream = tidegate.load(path, "native").stream()
    made = [stream.push(x[at : at + chunk]) for at in range(0, len(x), chunk)]
    listed = [list(one.values()) if isinstance(one, dict) else [one] for one in made]
    return [np.concatenate(parts) for parts in zip(*listed, strict=True)]


def check_streams(path: Path, x: Array, wanted: list[Array], bound: float) -> None:
    whole = streamed(path, x, len(x))
    for seen, right in zip(whole, wanted, strict=True):
        np.testing.assert_allclose(seen, right, atol=bound * float(np.abs(right).max()))
    for chunk in (1, 7):
        for seen, same in zip(streamed(path, x, chunk), whole, strict=True):
            np.testing.assert_array_equal(seen, same)


@pytest.mark.parametrize("name", NETS)
def test_row_132_a_net_of_noise_suppression_streams_as_its_module(name: str, tmp_path: Path) -> None:
    module, x, axis = net(name)
    report = tidegate.export_model(module, batched(x, axis).repeat(2, 1, 1, 1), tmp_path / "m.onnx")
    assert not report.refused
    wanted = answers(module, x, axis)
    check_streams(tmp_path / "m.onnx", x, wanted, FLOAT)
    quantized = tidegate.quantize(tmp_path / "m.onnx", tmp_path / "int8.onnx")
    assert quantized.backend.startswith("native")
    check_streams(tmp_path / "int8.onnx", x, wanted, INT8)


@pytest.mark.parametrize("name", NETS)
def test_row_132_its_plain_file_is_lifted(name: str, tmp_path: Path) -> None:
    module, x, axis = net(name)
    names = {"x": {0: "batch", axis: "time"}}
    vendor = str(tmp_path / "vendor.onnx")
    torch.onnx.export(module, (batched(x, axis),), vendor, dynamo=False, input_names=["x"], dynamic_axes=names)
    report = tidegate.lift(vendor, tmp_path / "m.onnx")
    assert not report.refused
    check_streams(tmp_path / "m.onnx", x, answers(module, x, axis), FLOAT)


@pytest.mark.parametrize("transposed", [False, True])
def test_row_133_neighbouring_bins_and_a_transposed_kernel_over_time(transposed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = GroupedTemporal(8, 2, transposed=transposed).eval()
    report = tidegate.export_model(module, torch.randn(2, 8, 12, 9), tmp_path / "m.onnx")
    assert not report.refused
    x = np.random.default_rng(0).standard_normal((FRAMES, 8, 9)).astype(np.float32)
    check_streams(tmp_path / "m.onnx", x, answers(module, x, 2), FLOAT)
