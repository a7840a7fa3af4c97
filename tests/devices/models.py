"""The models of `make devices`, which must give the same bits on every device, and the samples they stream."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from tidegate.export import example_from_shape, export_model, load_module
from tidegate.quant import quantize
from tidegate.runtime.arrays import Floats
from tidegate.runtime.load import plan_of

WATCH = Path(__file__).parents[2] / "examples" / "watch"
FRAMES = 10_000


def samples() -> Floats:
    """Return the first 10,000 samples `[10000, 6]` of the watch's test recordings, joined."""
    joined: Floats = np.concatenate(_streams("test"))[:FRAMES]
    return joined


def _streams(use: str) -> list[Floats]:
    """Return the recordings of the watch for one use: "calibrate" or "test"."""
    sys.path.insert(0, str(WATCH))
    recordings = import_module("recordings")
    return [recording.frames for recording in getattr(recordings.split(recordings.load()), use)]


def watch(folder: Path) -> bytes:
    """Return the plan of the exercise recognizer: two LSTMs 6 -> 64 -> 64 and a linear head."""
    return _plan(_recognizer(), "1x20x6", folder)


def watch_in_integers(folder: Path) -> bytes:
    """Return the plan of the same net in integer arithmetic."""
    return _plan(_recognizer(), "1x20x6", folder, _streams("calibrate"))


def _recognizer() -> torch.nn.Module:
    sys.path.insert(0, str(WATCH))
    return load_module("model:recognizer", WATCH / "watch.safetensors")


class Amp(torch.nn.Module):
    """A net of the size of a guitar amplifier model, one sample per frame: a GRU 1 -> 64 and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.out = torch.nn.GRU(1, 64, batch_first=True), torch.nn.Linear(64, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map samples `[batch, samples, 1]` to samples."""
        y: torch.Tensor = self.out(self.gru(x)[0])
        return y


def amp(folder: Path) -> bytes:
    """Return the plan of the amplifier net with random weights."""
    torch.manual_seed(2026)
    return _plan(Amp(), "1x20x1", folder)


def _plan(module: torch.nn.Module, example: str, folder: Path, streams: list[Floats] | None = None) -> bytes:
    """Return the plan of a module; with calibration streams it computes in integers."""
    export_model(module, example_from_shape(example), folder / "model.onnx")
    source, target = folder / "model.onnx", folder / "model.int8.onnx"
    if streams is None:
        quantize(source, target)
    else:
        report = quantize(source, target, calibration=streams, method="nearest", arithmetic="integer")
        assert report.float_operators == ()
    return plan_of(target)


# Each model by name, with the channels of the samples that it takes.
MODELS: dict[str, tuple[Callable[[Path], bytes], slice]] = {
    "watch": (watch, slice(6)),
    "watch in integers": (watch_in_integers, slice(6)),
    "amp": (amp, slice(1)),
}
