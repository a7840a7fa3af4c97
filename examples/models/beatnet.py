"""BeatNet's net in torch, for its weights as torch saved them, and its formula.

The keys of the weights are those of the original. `tidegate export --weights` reads the .pt file by a fixed list of
types; the plain unpickler is never used.
"""

from pathlib import Path

import numpy as np
import torch
from cells import Doubles, lstm, relu
from signals import Stream, features
from torch import nn

FILE = Path("files/beatnet.pt")
FEATURES, FRAMES = 272, 500
CHANNELS, KERNEL, POOL, UNITS, LAYERS = 2, 10, 2, 150, 2


class Beats(nn.Module):
    """Log-filtered spectra and their differences `[batch, time, 272]` to logits `[batch, time, 3]`.

    The three classes are beat, downbeat and neither.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, CHANNELS, KERNEL)
        self.linear0 = nn.Linear(CHANNELS * ((FEATURES - KERNEL + 1) // POOL), UNITS)
        self.lstm = nn.LSTM(UNITS, UNITS, LAYERS, batch_first=True)
        self.linear = nn.Linear(UNITS, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of each frame."""
        inside = torch.relu(self.conv1(x.reshape(-1, 1, FEATURES)))
        pooled = nn.functional.max_pool1d(inside, POOL).flatten(1)
        h = self.lstm(self.linear0(pooled).reshape(x.shape[0], x.shape[1], UNITS))[0]
        logits: torch.Tensor = self.linear(h)
        return logits


def reference() -> list[Stream]:
    """Return features, and the answers of the formula."""
    kept = torch.load(FILE, weights_only=True)
    weights = {name: value.double().numpy() for name, value in kept.items()}
    x = np.abs(features(FRAMES, FEATURES, 1.0))
    return [Stream(x, answers(weights, x.astype(np.float64)))]


def answers(weights: dict[str, Doubles], x: Doubles) -> Doubles:
    """Return the logits `[frames, 3]` by the formula."""
    windows = np.lib.stride_tricks.sliding_window_view(x, KERNEL, axis=1)
    inside = relu(np.einsum("fwk,ck->fcw", windows, weights["conv1.weight"][:, 0]) + weights["conv1.bias"][:, None])
    pooled = inside[..., : inside.shape[-1] // POOL * POOL].reshape(len(x), CHANNELS, -1, POOL).max(-1)
    y = pooled.reshape(len(x), -1) @ weights["linear0.weight"].T + weights["linear0.bias"]
    for layer in range(LAYERS):
        w, r = (weights[f"lstm.weight_{kind}_l{layer}"] for kind in ("ih", "hh"))
        b = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
        y = lstm(y, w, r, b, h=np.zeros(UNITS), c=np.zeros(UNITS))
    return np.asarray(y @ weights["linear.weight"].T + weights["linear.bias"])
