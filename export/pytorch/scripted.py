"""ScriptModules without their optional arguments: torch's exporter does not accept None for them."""

from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ..graph.editing import rename_all, value_names

_INSIDE = "scripted"


class _Shell(nn.Module):
    """A module around a module: its forward takes only the signal, other arguments keep their defaults."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        setattr(self, _INSIDE, module)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401  any result
        return getattr(self, _INSIDE)(x)


def in_shell(module: nn.Module, x: Tensor) -> nn.Module:
    """Return a traced module that takes only the signal `x`."""
    made: nn.Module = torch.jit.trace(_Shell(module), (x,), check_trace=False)  # type: ignore[no-untyped-call]
    return made


def strip_shell(model: onnx.ModelProto) -> None:
    """Remove the shell's prefix from the names of nodes and weights, in place."""
    for node in model.graph.node:
        node.name = node.name.removeprefix(f"/{_INSIDE}")
    prefix = f"{_INSIDE}."
    names = {name: name.removeprefix(prefix) for name in value_names(model) if name.startswith(prefix)}
    rename_all(model, names)
