"""Modules that no export takes, refused by name with a way out before anything runs."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ...runtime.errors import ExportError, UnsupportedError


def check_module(module: nn.Module) -> None:
    """Refuse a module that cannot be exported as it is.

    Raises:
        ExportError: It is a graph of torch.export, has no forward, is quantized by torch, without values, or not in
            float32.
        UnsupportedError: A layer has two directions and a projection.
    """
    if any(base.__module__.startswith("torch.export") for base in type(module).__mro__):
        raise ExportError(
            "the module is a graph of torch.export, wanted the torch.nn.Module that it was made of; export that one"
        )
    if not hasattr(module, "forward"):  # scripted, nn.LSTM and nn.GRU have one for tensors and one for packed sequences
        raise ExportError(
            "the TorchScript module has several forwards or none, wanted one; script a module of yours whose forward "
            "calls it"
        )
    for name, child in module.named_modules():
        _check_layer(name, child)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        _check_tensor(name, tensor)


def _check_layer(name: str, child: nn.Module) -> None:
    if type(child).__module__.startswith("torch.ao.nn.quantized"):
        raise ExportError(
            f"module {name!r} ({type(child).__name__}) is quantized by torch, wanted a float module; export that one, "
            "then quantize the file with `tidegate quantize`"
        )
    if isinstance(child, nn.LSTM) and child.proj_size and child.bidirectional:
        raise UnsupportedError(
            f"module {name or 'LSTM'!r}: bidirectional with proj_size, wanted one direction; use "
            "bidirectional=False, or no proj_size"
        )


def _check_tensor(name: str, tensor: torch.Tensor) -> None:
    if is_lazy(tensor):
        raise ExportError(f"{name} has no values yet, wanted trained weights; call the module once, then load them")
    if tensor.is_meta:
        raise ExportError(
            f"{name} is on the device 'meta' and has no values; call module.to_empty(device='cpu'), then load them"
        )
    if tensor.is_floating_point() and tensor.dtype != torch.float32:
        raise ExportError(f"{name} is {tensor.dtype}, wanted torch.float32; call module.float() first")
