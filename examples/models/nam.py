"""Neural Amp Modeler's LSTM: a .nam file (JSON) into torch, and its formula.

The weights of a layer are, one after the other: both matrices side by side `[4 * units, inputs + units]`, the bias,
the first h, the first c. The head's weights and bias come after the last layer.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cells import Doubles, lstm
from signals import Stream, sound
from torch import nn

FILE = Path("files/lstm.nam")
SECONDS = 0.25


@dataclass(frozen=True)
class Layer:
    """The weights of a layer, in float64."""

    w: Doubles
    r: Doubles
    b: Doubles
    h: Doubles
    c: Doubles


def read(path: Path) -> tuple[list[Layer], Doubles, float]:
    """Return the layers of a .nam file, the head's weights `[units]`, and its bias.

    Raises:
        ValueError: The file has another architecture, or another number of weights.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["architecture"] != "LSTM":
        raise ValueError(f"{path}: architecture {found['architecture']!r}, wanted 'LSTM'")
    config, values = found["config"], np.array(found["weights"], np.float64)
    units = config["hidden_size"]
    layers, rest = [], values
    for number in range(config["num_layers"]):
        layer, rest = _layer(rest, units if number else config["input_size"], units)
        layers.append(layer)
    if len(rest) != units + 1:
        raise ValueError(f"{path}: {len(rest)} weights for the head, wanted {units + 1}")
    return layers, rest[:units], float(rest[units])


def _layer(values: Doubles, inputs: int, units: int) -> tuple[Layer, Doubles]:
    """Return the first layer of the values, and the other values."""

    def parts() -> Iterator[Doubles]:
        place = 0
        for size in (4 * units * (inputs + units), 4 * units, units, units):
            yield values[place : place + size]
            place += size
        yield values[place:]

    both, b, h, c, rest = parts()
    w, r = np.split(both.reshape(4 * units, inputs + units), [inputs], axis=1)
    return Layer(w, r, b, h, c), rest


class Amplifier(nn.Module):
    """An amplifier: samples `[batch, time, 1]` to samples. A stream starts from the file's own h and c."""

    def __init__(self, path: Path = FILE) -> None:
        super().__init__()
        layers, head, bias = read(path)
        self.lstm = nn.LSTM(layers[0].w.shape[1], len(head), len(layers), batch_first=True)
        self.head = nn.Linear(len(head), 1)
        self.h = nn.Parameter(torch.tensor(np.array([[layer.h] for layer in layers]), dtype=torch.float32))
        self.c = nn.Parameter(torch.tensor(np.array([[layer.c] for layer in layers]), dtype=torch.float32))
        for number, layer in enumerate(layers):
            set_weights(self.lstm, number, layer.w, layer.r, layer.b, 0 * layer.b)
        self.head.load_state_dict({"weight": torch.tensor(head[None]), "bias": torch.tensor([bias])})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the amplified samples."""
        batch = x.shape[0]
        state = (self.h.expand(-1, batch, -1).contiguous(), self.c.expand(-1, batch, -1).contiguous())
        answer: torch.Tensor = self.head(self.lstm(x, state)[0])
        return answer


def set_weights(layer: nn.Module, number: int, *values: Doubles) -> None:
    """Set weight_ih, weight_hh, bias_ih and bias_hh of one layer of an nn.LSTM or nn.GRU."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    with torch.no_grad():
        for name, value in zip(names, values, strict=True):
            getattr(layer, f"{name}_l{number}").copy_(torch.from_numpy(value))


def reference() -> list[Stream]:
    """Return a sound at 48 kHz, and the answers of the formula."""
    layers, head, bias = read(FILE)
    samples = sound(48000, SECONDS)[:, None]
    y = samples.astype(np.float64)
    for layer in layers:
        y = lstm(y, layer.w, layer.r, layer.b, h=layer.h, c=layer.c)
    return [Stream(samples, (y @ head + bias)[:, None])]
