"""Files with caches of convolutions as inputs and outputs are lifted, quantized and streamed on the engine."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import TidegateError
from tools.stream_nets import BINS, StreamGtcrn
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter

FRAMES = 23
FLOAT, INT8 = 3e-6, 0.03  # bounds of the error of answers, relative to the largest


class Cached(nn.Module):
    """Two convolutions over time with their caches, then a GRU, on frames `[batch, 6, frames]`."""

    def __init__(self, *, window: bool = False) -> None:
        super().__init__()
        self.window = window
        self.first, self.second = nn.Conv1d(6, 8, 3, dilation=2), nn.Conv1d(8, 8, 2, groups=8)
        self.gru, self.fc = nn.GRU(8, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, x: Tensor, one: Tensor, two: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Answers `[batch, frames, 3]`, and the states for the next run."""
        own = 1 if self.window else 0  # a window holds the newest frame too
        joined = torch.cat([one[:, :, own:], x], 2)
        y = torch.relu(self.first(joined))
        wide = torch.cat([two[:, :, own:], y], 2)
        z, h = self.gru(torch.relu(self.second(wide)).transpose(1, 2), h)
        return self.fc(z), joined[:, :, -4 - own :], wide[:, :, -1 - own :], h

    def states(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Zeros for a start."""
        own = 1 if self.window else 0
        return torch.zeros(batch, 6, 4 + own), torch.zeros(batch, 8, 1 + own), torch.zeros(1, batch, 12)


def written(
    path: Path, module: nn.Module, x: Tensor, states: Mapping[str, Tensor], free: Mapping[str, Mapping[int, str]] | None
) -> None:
    """Write a file of a module that takes and returns its states."""
    names = [*states]
    outputs = ["y", *(f"{name}_out" for name in names)]
    args = (x, *states.values())
    torch.onnx.export(
        module, args, str(path), dynamo=False, input_names=["x", *names], output_names=outputs, dynamic_axes=free
    )


def run(module: nn.Module, frames: list[Tensor], states: tuple[Tensor, ...]) -> list[Tensor]:
    """Return a module's answers frame by frame."""
    answers = []
    with torch.no_grad():
        for frame in frames:
            answer, *states = module(frame, *[state.clone() for state in states])
            answers.append(answer)
    return answers


def check_streams(path: Path, x: Array, wanted: Array, bound: float) -> None:
    model = tidegate.load(path, "native")
    whole = model.stream().push(x)
    np.testing.assert_allclose(whole, wanted, atol=bound * float(np.abs(wanted).max()))
    for chunk in (1, 7):
        stream = model.stream()
        parts = [stream.push(x[at : at + chunk]) for at in range(0, len(x), chunk)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_row_213_packed_caches_and_states_of_a_whole_net_stream_on_the_engine(dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, vendor = StreamGtcrn().eval(), str(tmp_path / "vendor.onnx")
    caches = module.caches()
    inputs, outputs = ["mix", *caches], ["enh", *(f"{name}_out" for name in caches)]
    args = (torch.randn(1, BINS, 1, 2), *caches.values())
    torch.onnx.export(module, args, vendor, dynamo=dynamo, input_names=inputs, output_names=outputs)
    report = tidegate.lift(vendor, tmp_path / "m.onnx")
    assert not report.refused
    assert sum(state.kind == "tail" for state in report.contract.states) == 4
    assert any("packed in tra_cache, inter_cache, conv_cache" in text for text in report.done)
    x = np.random.default_rng(0).standard_normal((FRAMES, BINS, 2)).astype(np.float32)
    frames = [torch.tensor(frame)[None, :, None] for frame in x]
    wanted = torch.cat(run(module, frames, tuple(module.caches().values())), 2)[0].permute(1, 0, 2).numpy()
    check_streams(tmp_path / "m.onnx", x, wanted, FLOAT)
    if not dynamo:
        assert tidegate.quantize(tmp_path / "m.onnx", tmp_path / "int8.onnx").backend.startswith("native")
        check_streams(tmp_path / "int8.onnx", x, wanted, INT8)


FREE = {"x": {0: "B", 2: "T"}, "y": {0: "B", 1: "T"}, "one": {0: "B"}, "two": {0: "B"}, "h": {1: "B"}}
FREE |= {f"{name}_out": FREE[name] for name in ("one", "two", "h")}
FILES: dict[str, tuple[bool, int, dict[str, dict[int, str]] | None]] = {
    "one frame": (False, 1, None),
    "four frames": (False, 4, None),
    "any number": (False, 4, FREE),
    "windows": (True, 1, None),
}


@pytest.mark.parametrize("name", FILES)
def test_row_213_caches_of_one_axis_in_files_of_any_size(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    window, frames, free = FILES[name]
    module, batch = Cached(window=window).eval(), 2 if free else 1
    states = dict(zip(("one", "two", "h"), module.states(batch), strict=True))
    written(tmp_path / "vendor.onnx", module, torch.randn(batch, 6, frames), states, free)
    report = tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
    assert not report.refused
    x = np.random.default_rng(0).standard_normal((FRAMES, 6)).astype(np.float32)
    wanted = torch.cat(run(module, [torch.tensor(one)[None, :, None] for one in x], module.states()), 1)[0]
    check_streams(tmp_path / "m.onnx", x, wanted.numpy(), FLOAT)


class Leaky(Cached):
    """Its answer reads a cache in another way too."""

    def forward(self, x: Tensor, one: Tensor, two: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, one_out, two_out, h = super().forward(x, one, two, h)
        return y + one.mean(), one_out, two_out, h


def test_row_213_a_cache_that_is_read_in_another_way_is_refused_by_name(tmp_path: Path) -> None:
    module = Leaky().eval()
    states = dict(zip(("one", "two", "h"), module.states(), strict=True))
    written(tmp_path / "vendor.onnx", module, torch.randn(1, 6, 1), states, None)
    message = r"ReduceMean.*reads state input 'one', .*; write the model without this reader of the state, or with a"
    with pytest.raises(TidegateError, match=message):
        tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
    written(tmp_path / "vendor.onnx", Cached().eval(), torch.randn(1, 6, 1), states, None)
    tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")


class Decoder(nn.Module):
    """A convolution and a transposed one over time, both with a cache, as in a streaming DPCRN."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(2, 6, (2, 3), (1, 2), (0, 1)), nn.ConvTranspose2d(6, 2, (2, 3), (1, 2), (0, 1))
        self.gru = nn.GRU(54, 54, batch_first=True)

    def forward(self, x: Tensor, one: Tensor, two: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[1, 2, 1, 17] and the states -> the same."""
        joined = torch.cat([one, x], 2)
        y = torch.relu(self.down(joined))
        z, h = self.gru(y.permute(0, 2, 1, 3).reshape(1, 1, 54), h)
        wide = torch.cat([two, z.reshape(1, 1, 6, 9).permute(0, 2, 1, 3)], 2)
        return self.up(wide)[:, :, 1:-1], joined[:, :, 1:], wide[:, :, 1:], h


class ChannelsLast(nn.Module):
    """A convolution with a cache as Keras writes it: `[1, frames, bins, channels]`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gru = nn.Conv2d(3, 5, (3, 3), padding=(0, 1)), nn.GRU(20, 8, batch_first=True)

    def forward(self, x: Tensor, one: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[1, 1, 4, 3] and the states -> [1, 1, 8] and the states."""
        joined = torch.cat([one, x], 1)
        y = self.conv(joined.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        z, h = self.gru(torch.relu(y).reshape(1, 1, 20), h)
        return z, joined[:, 1:], h


FORMS: dict[str, tuple[type[nn.Module], dict[str, list[int]], list[int], int]] = {
    "transposed": (Decoder, {"one": [1, 2, 1, 17], "two": [1, 6, 1, 9], "h": [1, 1, 54]}, [1, 2, 1, 17], 2),
    "channels last": (ChannelsLast, {"one": [1, 2, 4, 3], "h": [1, 1, 8]}, [1, 1, 4, 3], 1),
}


@pytest.mark.parametrize("name", FORMS)
def test_row_214_a_transposed_convolution_and_channels_last_with_caches(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kind, sizes, shape, axis = FORMS[name]
    module, states = kind().eval(), {key: torch.zeros(size) for key, size in sizes.items()}
    written(tmp_path / "vendor.onnx", module, torch.randn(shape), states, None)
    report = tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
    assert not report.refused
    x = np.random.default_rng(0).standard_normal((FRAMES, *shape)).astype(np.float32)
    wanted = torch.cat(run(module, [torch.tensor(one) for one in x], tuple(states.values())), axis)[0].numpy()
    last = axis - 1 if wanted.ndim > 2 else 0
    check_streams(tmp_path / "m.onnx", np.squeeze(x, (1, 1 + axis)), np.moveaxis(wanted, last, 0), FLOAT)


class WithoutTime(Cached):
    """Its signal is one frame, `[1, 6]`, without an axis of frames."""

    def forward(self, x: Tensor, one: Tensor, two: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, one, two, h = super().forward(x[..., None], one, two, h)
        return y[:, 0], one, two, h


def test_row_215_a_file_with_caches_and_no_axis_of_frames_is_refused_by_name_and_gets_one(tmp_path: Path) -> None:
    module = WithoutTime().eval()
    states = dict(zip(("one", "two", "h"), module.states(), strict=True))
    written(tmp_path / "vendor.onnx", module, torch.randn(1, 6), states, None)
    message = r"state input 'one' has the frames before .*; write the model with frames on an axis of the signal"
    with pytest.raises(TidegateError, match=message):
        tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
    written(tmp_path / "vendor.onnx", Cached().eval(), torch.randn(1, 6, 1), states, None)
    tidegate.lift(tmp_path / "vendor.onnx", tmp_path / "m.onnx")
