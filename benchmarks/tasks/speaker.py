"""Speaker verification: an LSTM of three layers with 256 units, on 1.6 s of mel power features."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.arrays import Array, Floats
from .task import Answers, Goal, Task, equal_error_rate, named, recording, tensors

WINDOW = 160  # frames of 10 ms: 1.6 s
STARTS = range(40, 10**6, WINDOW)
CALIBRATION_WINDOWS = 100


class Encoder(nn.Module):
    """Computes the embedding of a voice from the last frame of a window."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, 40]` to `[batch, 256]` of length 1."""
        embedding = torch.relu(self.linear(self.lstm(x)[0][:, -1]))
        normalized: Tensor = embedding / torch.norm(embedding, dim=1, keepdim=True)
        return normalized


def task(data: Path) -> Task:
    """Return the task: compare all pairs of 404 windows of ten speakers. Other people's speech is for calibration."""
    weights = tensors(data / "speaker_encoder" / "resemblyzer_lstm256x3.safetensors")
    basis, module = weights["mel_basis"].numpy(), Encoder()
    module.load_state_dict(named(weights, "lstm.", "linear."))
    speakers, streams = [], []
    for path in sorted((data / "speakers").glob("*/*.flac")):
        frames = features(recording(path), basis)
        cut = [frames[s : s + WINDOW] for s in STARTS if s < len(frames) - WINDOW]
        streams += cut
        speakers += [path.parent.name] * len(cut)
    pairs = np.triu_indices(len(streams), 1)
    same = np.equal(*(np.asarray(speakers)[side] for side in pairs))
    return Task(
        "speaker encoder",
        module,
        40,
        calibration(data, basis),
        streams,
        lambda answers, exact: figures(answers, exact, pairs, same),
        goals={"EER %": Goal(3.20, 3.12), "mean cos": Goal(0.999, 0.9997, True), "min cos": Goal(0.995, 0.9985, True)},
        goals_per_channel={"mean cos": Goal(0.990, 0.995, True)},
        goals_4_bits={"EER %": Goal(3.6, 3.3), "mean cos": Goal(0.95, 0.975, True)},
        chunk=10,
    )


def figures(answers: Answers, exact: Answers, pairs: tuple[Array, Array], same: Array) -> dict[str, float]:
    """Return the equal error rate in percent, and the mean and smallest cosine to the float embeddings."""
    embeddings, wanted = (np.stack(side).astype(np.float64) for side in (answers, exact))
    scores = np.einsum("ij,ij->i", *(embeddings[side] for side in pairs))
    cosines = np.sum(embeddings * wanted, 1) / np.linalg.norm(embeddings, axis=1) / np.linalg.norm(wanted, axis=1)
    error = 100 * equal_error_rate(scores, same)
    return {"EER %": error, "mean cos": float(cosines.mean()), "min cos": float(cosines.min())}


def calibration(data: Path, basis: Floats) -> list[Floats]:
    """Return 100 windows for calibration, evenly spread over two mixes, clean and noisy."""
    names = [mix["file"] for mix in json.loads((data / "vad" / "mixes.json").read_text()) if mix["split"] == "calib"]
    files = [data / "vad" / f"{name}_{kind}.flac" for name in names for kind in ("clean", "noisy")]
    streams = []
    for frames in (features(recording(path), basis) for path in files):
        count = CALIBRATION_WINDOWS // len(files)
        starts = np.linspace(0, len(frames) - WINDOW, count).astype(int)
        streams += [frames[start : start + WINDOW] for start in starts]
    return streams


def features(samples: Floats, basis: Floats) -> Floats:
    """Return mel power features, float32 `[frames, 40]`.

    A frame has 25 ms and starts every 10 ms; Hann window, no logarithm. Speech below -30 dB is amplified to -30 dB.
    """
    level = 10 * np.log10(np.mean(samples.astype(np.float64) ** 2))
    if level < -30:
        samples = (samples * 10 ** ((-30 - level) / 20)).astype(np.float32)
    padded = np.pad(samples, 200)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mel: Floats = (power @ basis.T).astype(np.float32)
    return mel
