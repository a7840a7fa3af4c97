"""RNNoise 0.1: the numbers of its rnn_data.c into torch, and its formula.

The file is read as text: arrays of small integers, 1/256 each. A matrix is `[inputs, outputs]`; a GRU has the gates
update, reset, new, its reset gate acts ahead of the product, and the new value is a ReLU.
"""

import re
from pathlib import Path

import numpy as np
import torch
from cells import Doubles, early_gru, relu, sigmoid
from signals import Stream, features
from torch import nn

FILE = Path("files/rnn_data.c")
ARRAY = re.compile(r"rnn_weight (\w+)\[(\d+)\] = \{([-\d,\s]*)\};")
SCALE = 1 / 256
FEATURES, FRAMES = 42, 1000
LOUDNESS = 1.0  # from 2 on the ReLUs make any float32 run leave the float64 one: torch's too, by 0.9 at 3


def read(path: Path = FILE) -> dict[str, Doubles]:
    """Return the arrays of the file by name, scaled.

    Raises:
        ValueError: An array has another number of values than the file says, or there is none.
    """
    found = {}
    for name, count, numbers in ARRAY.findall(path.read_text(encoding="ascii")):
        values = [int(number) for number in numbers.split(",")]
        if len(values) != int(count):
            raise ValueError(f"{path}: {name} has {len(values)} values, wanted {count}")
        found[name] = np.array(values) * SCALE
    if not found:
        raise ValueError(f"{path}: no array of rnn_weight, wanted the rnn_data.c of RNNoise 0.1")
    return found


def matrix(weights: dict[str, Doubles], name: str, bias: str) -> Doubles:
    """Return a matrix `[outputs, inputs]`; the length of its bias is the number of outputs."""
    return weights[name].reshape(-1, len(weights[bias])).T


class Gru(nn.Module):
    """A GRU as RNNoise computes it: `[batch, time, inputs]` to `[batch, time, units]`."""

    def __init__(self, weights: dict[str, Doubles], name: str) -> None:
        super().__init__()
        w, r = (matrix(weights, f"{name}_{kind}", f"{name}_bias") for kind in ("weights", "recurrent_weights"))
        self.w, self.r = (nn.Parameter(torch.tensor(value, dtype=torch.float32)) for value in (w, r))
        self.b = nn.Parameter(torch.tensor(weights[f"{name}_bias"], dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return h of each frame."""
        r_update, r_reset, r_new = self.r.chunk(3)
        h = x.new_zeros(x.shape[0], self.r.shape[1])
        out = []
        for t in range(x.shape[1]):
            update, reset, new = nn.functional.linear(x[:, t], self.w, self.b).chunk(3, -1)
            update = torch.sigmoid(update + h @ r_update.T)
            reset = torch.sigmoid(reset + h @ r_reset.T)
            new = torch.relu(new + (reset * h) @ r_new.T)
            h = update * h + (1 - update) * new
            out.append(h)
        return torch.stack(out, 1)


class Denoiser(nn.Module):
    """Features `[batch, time, 42]` to the gains of 22 bands and the probability of voice, side by side."""

    def __init__(self, path: Path = FILE) -> None:
        super().__init__()
        weights = read(path)
        self.dense = _linear(weights, "input_dense")
        self.voice, self.noise, self.denoise = (Gru(weights, f"{name}_gru") for name in ("vad", "noise", "denoise"))
        self.gains, self.probability = _linear(weights, "denoise_output"), _linear(weights, "vad_output")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return 23 values for each frame."""
        dense = torch.tanh(self.dense(x))
        voice = self.voice(dense)
        noise = self.noise(torch.cat([dense, voice, x], -1))
        gains = self.gains(self.denoise(torch.cat([voice, noise, x], -1)))
        return torch.sigmoid(torch.cat([gains, self.probability(voice)], -1))


def _linear(weights: dict[str, Doubles], name: str) -> nn.Linear:
    w, b = matrix(weights, f"{name}_weights", f"{name}_bias"), weights[f"{name}_bias"]
    made = nn.Linear(*w.shape[::-1])
    made.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
    return made


def reference() -> list[Stream]:
    """Return features, and the answers of the formula; tanh and sigmoid are functions, not the original's tables."""
    weights, x = read(), features(FRAMES, FEATURES, LOUDNESS)

    def dense(name: str, values: Doubles) -> Doubles:
        return values @ matrix(weights, f"{name}_weights", f"{name}_bias").T + weights[f"{name}_bias"]

    def gru(name: str, values: Doubles) -> Doubles:
        w, r = (matrix(weights, f"{name}_{kind}", f"{name}_bias") for kind in ("weights", "recurrent_weights"))
        return early_gru(values, w, r, weights[f"{name}_bias"], relu)

    first = np.tanh(dense("input_dense", x.astype(np.float64)))
    voice = gru("vad_gru", first)
    noise = gru("noise_gru", np.concatenate([first, voice, x], 1))
    gains = dense("denoise_output", gru("denoise_gru", np.concatenate([voice, noise, x], 1)))
    return [Stream(x, sigmoid(np.concatenate([gains, dense("vad_output", voice)], 1)))]
