"""ScriptModules whose optional arguments are left out: torch's exporter takes no None for them."""

from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ..graph.editing import rename_all, value_names

_INSIDE = "scripted"


class _Shell(nn.Module):
    """A module whose forward takes the signal, and leaves the rest to the defaults of its own."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        setattr(self, _INSIDE, module)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401  whatever it returns
        return getattr(self, _INSIDE)(x)


def in_shell(module: nn.Module, x: Tensor) -> nn.Module:
    """Return a module that can be exported with its signal alone."""
    made: nn.Module = torch.jit.trace(_Shell(module), (x,), check_trace=False)  # type: ignore[no-untyped-call]
    return made


def strip_shell(model: onnx.ModelProto) -> None:
    """Let nodes and weights have the names that they have without a shell around the module, in place."""
    for node in model.graph.node:
        node.name = node.name.removeprefix(f"/{_INSIDE}")
    prefix = f"{_INSIDE}."
    names = {name: name.removeprefix(prefix) for name in value_names(model) if name.startswith(prefix)}
    rename_all(model, names)
