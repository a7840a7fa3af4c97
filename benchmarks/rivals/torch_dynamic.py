"""torch's dynamic int8: weights a tensor, activations by the scale of each call."""

import copy
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.errors import BackendError

if TYPE_CHECKING:
    import torch


def answers(module: "torch.nn.Module", streams: Sequence[Floats], chunk: int) -> list[Array]:
    """Return what a module answers to each stream with its cells and linear layers in torch's dynamic int8.

    Args:
        module: A float module whose recurrent layer is an attribute of its own, `[batch, frames, features]`.
        streams: Each `[frames, features]`.
        chunk: Frames of a call, state carried; 0: a whole stream a call.

    Raises:
        BackendError: A recurrent layer stayed float.
    """
    import torch

    quantized = _quantized(module)
    cells = _carry_state(quantized)
    made = []
    with torch.no_grad():
        for frames in streams:
            for cell in cells:
                cell.state = None
            size = chunk or len(frames)
            parts = [
                quantized(torch.from_numpy(frames[at : at + size])[None])[0].numpy()
                for at in range(0, len(frames), size)
            ]
            made.append(parts[-1] if parts[0].ndim == 1 else np.concatenate(parts))
    return made


def _quantized(module: "torch.nn.Module") -> "torch.nn.Module":
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated in favour of a package without recurrent layers
        kinds = {torch.nn.LSTM, torch.nn.GRU, torch.nn.Linear}
        quantize: Any = torch.ao.quantization.quantize_dynamic
        made: torch.nn.Module = quantize(copy.deepcopy(module), kinds, dtype=torch.qint8)
    left = [name for name, child in made.named_modules() if isinstance(child, torch.nn.RNNBase)]
    if left:
        raise BackendError(f"torch's quantize_dynamic left {', '.join(left)} in float; this would be no figure of int8")
    return made


def _carry_state(module: "torch.nn.Module") -> list[Any]:
    """Let the recurrent layers of a quantized module begin where they ended; return them."""
    import torch

    class Carrying(torch.nn.Module):
        def __init__(self, layer: torch.nn.Module) -> None:
            super().__init__()
            self.layer, self.state = layer, None

        def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401  output and state
            y, self.state = self.layer(x, self.state)
            return y, self.state

    found = []
    for name, child in module.named_children():
        if type(child).__name__ in ("LSTM", "GRU"):
            setattr(module, name, Carrying(child))
            found.append(getattr(module, name))
    if not found:
        raise BackendError("the module has no recurrent layer of its own")
    return found
