"""Modules in a wrapper (torch.compile, DataParallel): their plain forms, which are what torch's exporter takes."""

from types import MethodType
from typing import cast

from torch import nn


def plain(module: nn.Module) -> nn.Module:
    """Return the module inside wrappers of torch.compile and data parallelism; any other module as it is."""
    while (inner := _inside(module)) is not None:
        module = inner
    return module


def _inside(module: nn.Module) -> nn.Module | None:
    parallel = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
    return cast("nn.Module | None", module.module if parallel else getattr(module, "_orig_mod", None))


def uncompile(module: nn.Module) -> None:
    """Replace every compiled submodule and forward of a module by its plain form, in place."""
    for child in list(module.modules()):
        if vars(child).get("_compiled_call_impl") is not None:  # by child.compile()
            child._compiled_call_impl = None  # noqa: SLF001  torch has no public name for it
        for name, part in child.named_children():
            if plain(part) is not part:
                setattr(child, name, plain(part))
        forward = getattr(getattr(child, "forward", None), "_torchdynamo_orig_callable", None)
        if forward is not None:  # @torch.compile above the forward, or around the forward of this module
            child.forward = forward if hasattr(forward, "__self__") else MethodType(forward, child)
