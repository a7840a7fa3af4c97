"""Nets with frames of several axes: exported, quantized, and streamed on the engine as their module."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ChunkError
from torch import Tensor, nn
from torch.nn import functional

FRAMES, BINS = 30, 20
BOUNDS = {"float32": 2e-6, "int8": 0.05}  # of answers up to 1; seen: 3e-7, 0.017


class Crnn(nn.Module):
    """A keyword spotter: convolutions over time and bins, causal and strided over the bins, then a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, stride=(1, 2)), nn.BatchNorm2d(8)
        self.each, self.mix = nn.Conv2d(8, 8, (2, 3), groups=8), nn.Conv2d(8, 12, 1)
        self.gru, self.head = nn.GRU(120, 16, batch_first=True), nn.Linear(16, 3)
        self.norm.running_mean, self.norm.running_var = torch.randn(8), torch.rand(8) + 0.5

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(functional.pad(x[:, None], (1, 1, 2, 0)))))
        x = torch.relu(self.mix(self.each(functional.pad(x, (1, 1, 1, 0)))))
        answer: Tensor = self.head(self.gru(x.permute(0, 2, 1, 3).flatten(2))[0])
        return answer


class BinsFirst(nn.Module):
    """Frames `[batch, channels, bins, time]`, a dilated kernel along time, a sum around a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, stride=(2, 1), dilation=(1, 2), padding=(1, 0))
        self.second = nn.Conv2d(6, 6, (3, 2), padding=(1, 0))
        self.gru = nn.GRU(60, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.elu(self.first(functional.pad(x.transpose(1, 2)[:, None], (4, 0))))
        x = x + functional.elu(self.second(functional.pad(x, (1, 0))))
        answer: Tensor = self.gru(x.flatten(1, 2).transpose(1, 2))[0]
        return answer


class Separable(nn.Module):
    """An encoder of noise suppression: separable convolutions strided over the bins, a norm over both axes, a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=(0, 1))
        self.each = nn.ModuleList(nn.Conv2d(8, 8, (1, 3), (1, 2), (0, 1), groups=8) for _ in range(2))
        self.mix = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(2))
        self.norm, self.gru = nn.LayerNorm((8, 5)), nn.GRU(40, 24, batch_first=True)
        self.head = nn.Linear(24, BINS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(functional.pad(x[:, None], (0, 0, 2, 0)))
        for each, mix in zip(self.each, self.mix, strict=True):
            y = functional.prelu(mix(each(y)), torch.tensor([0.2]))
        y = self.norm(y.permute(0, 2, 1, 3)).flatten(2)
        return x * torch.sigmoid(self.head(self.gru(y)[0]))


class Ahead(nn.Module):
    """A convolution over time and bins that looks a frame ahead, pools, and attention over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 4)
        self.gru = nn.GRU(40, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.max_pool2d(self.conv(x[:, None]), (1, 2)).permute(0, 2, 1, 3)  # [batch, time, channels, bins]
        y = y * torch.sigmoid(self.gate(y.mean(3)))[..., None]
        answer: Tensor = self.gru(y.flatten(2))[0]
        return answer


class Cut(nn.Module):
    """A convolution that pads both sides, and cuts the answers that looked ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru = nn.Conv2d(1, 4, 3, padding=(2, 1), groups=1), nn.GRU(80, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.gru(self.conv(x[:, None])[:, :, :-2].permute(0, 2, 1, 3).flatten(2))[0]
        return answer


class Mask(nn.Module):
    """An answer that is a frame of two axes: a mask for each bin and part."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(BINS, 12, batch_first=True), nn.Linear(12, 2 * BINS)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.gru(x)[0])
        return torch.tanh(y.reshape(y.shape[0], -1, 2, BINS)).transpose(2, 3)


class Planes(nn.Module):
    """Frames `[batch, channels, time, bins]` come in as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru = nn.Conv2d(2, 4, 3, padding=(0, 1)), nn.GRU(40, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(functional.pad(x, (0, 0, 2, 0))))
        answer: Tensor = self.gru(y.permute(0, 2, 1, 3).flatten(2))[0]
        return answer


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_of_several_axes_come_in(channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Planes().eval()
    if channels == 1:
        module.conv = nn.Conv2d(1, 4, 3, padding=(0, 1))
    tidegate.export_model(module, torch.randn(1, channels, 12, 10), tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((FRAMES, channels, 10)).astype(np.float32)
    wanted = module(torch.tensor(x).transpose(0, 1)[None])[0].detach().numpy()
    for backend in ("native", "onnxruntime"):
        model = tidegate.load(tmp_path / "m.onnx", backend)
        stream = model.stream()
        seen = np.concatenate([stream.push(x[i : i + 7]) for i in range(0, FRAMES, 7)])
        np.testing.assert_allclose(seen, wanted, atol=2e-6)
        with pytest.raises(ChunkError, match=rf"chunk has shape \(3, 10\), wanted \(frames, {channels}, 10\)"):
            stream.push(x[:3, 0])
    group = tidegate.load(tmp_path / "m.onnx", "native").streams(2)
    both = group.push(np.stack([x[:5], x[:5]]))
    np.testing.assert_array_equal(both[0], both[1])
    np.testing.assert_allclose(both[0], wanted[:5], atol=2e-6)


def _streamed(path: Path, x: Floats, chunk: int) -> Floats:
    model = tidegate.load(path, "native")
    stream = model.stream()
    answers = [stream.push(x[i : i + chunk]) for i in range(0, len(x), chunk)]
    return np.concatenate([*answers, *([stream.finish()] if model.contract.looks_ahead else [])])


@pytest.mark.parametrize("kind", [Crnn, BinsFirst, Separable, Ahead, Cut, Mask])
def test_a_net_with_frames_of_several_axes_streams_as_its_module(kind: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    tidegate.export_model(module, torch.randn(1, 12, BINS), tmp_path / "float32.onnx")
    tidegate.quantize(tmp_path / "float32.onnx", tmp_path / "int8.onnx")
    x = np.random.default_rng(0).standard_normal((FRAMES, BINS)).astype(np.float32)
    wanted = module(torch.tensor(x)[None])[0].detach().numpy()
    for name, bound in BOUNDS.items():
        seen = _streamed(tmp_path / f"{name}.onnx", x, 1)
        error = float(np.abs(seen - wanted).max())
        print(f"{kind.__name__} {name}: {error:.1e}")
        assert seen.shape == wanted.shape
        assert error <= bound
        for chunk in (7, FRAMES):
            np.testing.assert_array_equal(_streamed(tmp_path / f"{name}.onnx", x, chunk), seen)
