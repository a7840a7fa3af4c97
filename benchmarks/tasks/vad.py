"""Speech detection (Silero VAD): an LSTM of 128 units on features of 32 ms. Their convolutions stay in float."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  its usual name

from ...runtime.arrays import Floats
from .task import Answers, Goal, Task, auc, recording, tensors

STEP, BEFORE, PADDING, BINS = 512, 64, 64, 129
STRIDES = (1, 2, 2, 1)  # of the four convolutions
KINDS = ("clean", "noisy")


class Detector(nn.Module):
    """The part of the net after the convolutions: the probability of speech for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.final = nn.Linear(128, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, 128]` to probabilities `[batch, frames, 1]`."""
        return torch.sigmoid(self.final(torch.relu(self.lstm(x)[0])))


def task(data: Path) -> Task:
    """Return the task: decisions at 0.5 on eight mixes, clean and noisy. Two other mixes are for calibration."""
    weights = tensors(data / "silero_vad" / "silero_vad_v6_16k.safetensors")
    module = Detector()
    lstm = {f"lstm.{key}_l0": weights[f"lstm_cell.{key}"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    final = {"final.weight": weights["final_conv.weight"][:, :, 0], "final.bias": weights["final_conv.bias"]}
    module.load_state_dict(lstm | final)
    mixes = {mix["file"]: mix["split"] for mix in json.loads((data / "vad" / "mixes.json").read_text())}

    def streams(split: str) -> list[Floats]:
        names = [f"{name}_{kind}" for kind in KINDS for name, its in mixes.items() if its == split]
        return [features(recording(data / "vad" / f"{name}.flac"), weights) for name in names]

    labels = np.load(data / "vad" / "labels_10ms.npz")
    speech = np.concatenate([_at_centres(labels[name]) for name, its in mixes.items() if its == "test"])
    return Task(
        "Silero VAD",
        module,
        128,
        streams("calib"),
        streams("test"),
        lambda answers, exact: figures(answers, exact, speech),
        goals={
            "AUC noisy": Goal(0.0003, 0.0003, about=0.956568),
            "changed clean": Goal(3, 0),
            "changed noisy": Goal(12, 4),
        },
        goals_4_bits={"changed clean": Goal(20, 10), "changed noisy": Goal(130, 65)},
    )


def figures(answers: Answers, exact: Answers, speech: Floats) -> dict[str, float]:
    """Return the area under the curve and the number of decisions that differ from float, for clean and noisy mixes."""
    found: dict[str, float] = {}
    half = len(answers) // len(KINDS)
    for place, kind in enumerate(KINDS):
        part = slice(place * half, (place + 1) * half)
        p, wanted = (np.concatenate(side[part])[:, 0] for side in (answers, exact))
        found[f"AUC {kind}"] = auc(p, speech)
        found[f"changed {kind}"] = int(np.sum((p > 0.5) != (wanted > 0.5)))
    return found


@torch.no_grad()
def features(samples: Floats, weights: dict[str, Tensor]) -> Floats:
    """Return the LSTM's input, float32 `[steps, 128]`. Each step sees 512 new samples and the 64 samples before."""
    steps = len(samples) // STEP
    padded = torch.from_numpy(np.pad(samples[: steps * STEP], (BEFORE, 0)))
    x = F.pad(padded.unfold(0, STEP + BEFORE, STEP)[:, None], (0, PADDING), "reflect")
    waves = F.conv1d(x, weights["stft_conv.weight"], stride=128)
    x = torch.sqrt(waves[:, :BINS] ** 2 + waves[:, BINS:] ** 2)
    for number, stride in enumerate(STRIDES, 1):
        kernel, bias = (weights[f"conv{number}.{key}"] for key in ("weight", "bias"))
        x = torch.relu(F.conv1d(x, kernel, bias, stride, padding=1))
    made: Floats = x[:, :, 0].numpy()
    return made


def _at_centres(labels: Floats) -> Floats:
    """Return the label of each step: the label of the 10 ms frame at the step's centre."""
    centres = (np.arange(len(labels) * 160 // STEP) * STEP + STEP // 2) // 160
    return labels[centres]
