"""Modules that went through torch.compile: their plain forms, because torch's exporter refuses the compiled ones."""

from types import MethodType
from typing import cast

from torch import nn


def plain(module: nn.Module) -> nn.Module:
    """Return the module inside a compiled module; any other module as it is."""
    return cast("nn.Module", getattr(module, "_orig_mod", module))


def uncompile(module: nn.Module) -> None:
    """Replace every compiled submodule and forward of a module by its plain form, in place."""
    for child in list(module.modules()):
        if vars(child).get("_compiled_call_impl") is not None:  # by child.compile()
            child._compiled_call_impl = None  # noqa: SLF001  torch has no public name for it
        for name, part in child.named_children():
            if plain(part) is not part:
                setattr(child, name, plain(part))
        forward = getattr(getattr(type(child), "forward", None), "_torchdynamo_orig_callable", None)
        if forward is not None:  # @torch.compile above the forward
            child.forward = MethodType(forward, child)
