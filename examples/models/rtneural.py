"""RTNeural's JSON files of Keras models: dense, LSTM and GRU layers into torch.

The answers are recorded by the origin, from Keras. Keras keeps matrices `[inputs, outputs]`; its LSTM has torch's order
of gates, its GRU (reset_after) has update, reset, new.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Doubles
from nam import set_weights
from signals import Stream
from torch import nn

FILES = Path("files")
FUNCTIONS = {"": nn.Identity, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class Net(nn.Module):
    """The layers of a file, one after the other: samples `[batch, time, 1]` to samples."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        kept = json.loads(path.read_text(encoding="utf-8"))
        self.layers, width = nn.ModuleList(), kept["in_shape"][-1]
        for layer in kept["layers"]:
            self.layers.extend(_layers(layer, width))
            width = layer["shape"][-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers of the last layer."""
        for layer in self.layers:
            x = layer(x)[0] if isinstance(layer, nn.RNNBase) else layer(x)
        return x


def _layers(layer: dict[str, Any], inputs: int) -> list[nn.Module]:
    """Return the torch modules of one layer of a file.

    Raises:
        ValueError: The reader does not know the layer's type or function.
    """
    kind, function = layer["type"], layer["activation"]
    weights = [np.array(value, np.float64) for value in layer["weights"]]
    if kind in ("lstm", "gru"):
        return [_recurrent(kind, inputs, *weights)]
    if kind not in ("dense", "time-distributed-dense") or function not in FUNCTIONS:
        raise ValueError(f"layer {kind!r} with function {function!r}: wanted dense, lstm or gru, and {list(FUNCTIONS)}")
    dense = nn.Linear(*weights[0].shape)
    dense.load_state_dict({"weight": torch.from_numpy(weights[0].T), "bias": torch.from_numpy(weights[1])})
    return [dense, FUNCTIONS[function]()]


def _recurrent(kind: str, inputs: int, w: Doubles, r: Doubles, b: Doubles) -> nn.RNNBase:
    """Return an nn.LSTM or nn.GRU with the weights of Keras."""
    if kind == "lstm":
        made: nn.RNNBase = nn.LSTM(inputs, len(r), batch_first=True)
        set_weights(made, 0, w.T, r.T, b, 0 * b)
    else:
        made = nn.GRU(inputs, len(r), batch_first=True)
        set_weights(made, 0, *(np.concatenate(_gates(value)) for value in (w.T, r.T, b[0], b[1])))
    return made


def _gates(value: Doubles) -> list[Doubles]:
    """Return the parts of a GRU's weights in torch's order: reset, update, new."""
    update, reset, new = np.split(value, 3)
    return [reset, update, new]


def lstm() -> nn.Module:
    """Return the net of lstm.json."""
    return Net(FILES / "rtneural_lstm.json")


def gru() -> nn.Module:
    """Return the net of gru.json."""
    return Net(FILES / "rtneural_gru.json")


def reference(name: str) -> list[Stream]:
    """Return the origin's recorded signal, and its answers."""
    x, y = (np.loadtxt(FILES / f"{name}_{kind}.csv", ndmin=2) for kind in "xy")
    return [Stream(x.astype(np.float32), y)]
