"""The parameters of a forward, and its results by name."""

import inspect
from collections.abc import Iterator, Mapping

import torch
from torch import nn

from ...runtime.errors import ExportError


def parameters_of(module: nn.Module, given: int) -> list[str]:
    """Return the names of the forward's first parameters: those that the example gives or the forward needs."""
    named = signature_of(module)
    needed, names = sum(named.values()), list(named) or ["input"]
    if given > len(names) and not _any_number(module):
        taken = ", ".join(named)
        raise ExportError(
            f"the example has {given} parts, the forward takes {len(named)}: {taken}; give one part per parameter"
        )
    names += [f"{names[-1]}_{i}" for i in range(1, given)]
    return names[: max(given, needed, 1)]


def _any_number(module: nn.Module) -> bool:
    """Return whether a forward takes any number of arguments, as `forward(self, x, *states)` does."""
    if hasattr(module.forward, "schema"):
        return False
    return any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values())


def signature_of(module: nn.Module) -> dict[str, bool]:
    """Return the forward's positional parameters by name, and whether each is required."""
    schema = getattr(module.forward, "schema", None)  # of a ScriptModule, which has no Python signature
    if schema is not None:
        return {a.name: not a.has_default_value() for a in schema.arguments[1:]}
    parameters = inspect.signature(module.forward).parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return {p.name: p.default is p.empty for p in positional}


def hide_keywords(module: nn.Module) -> None:
    """Hide parameters of a forward that only a keyword can give, in place: torch's exporter gives them by position."""
    own, signature = module.forward, None if hasattr(module.forward, "schema") else inspect.signature(module.forward)
    shown = [] if signature is None else [p for p in signature.parameters.values() if p.kind != p.KEYWORD_ONLY]
    if signature is not None and len(shown) < len(signature.parameters):

        def forward(*given: object) -> object:
            return own(*given)

        forward.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined] # inspect reads it
        module.forward = forward


def named_results(returned: object) -> dict[str, torch.Tensor]:
    """Flatten the result of a forward: by name if it is a dict of tensors, else numbered, `output_0` and so on."""
    if isinstance(returned, Mapping) and all(isinstance(v, torch.Tensor) for v in returned.values()):
        return {str(key): tensor for key, tensor in returned.items()}
    return {f"output_{i}": tensor for i, tensor in enumerate(_flatten(returned))}


def _flatten(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.dtype in (torch.bfloat16, torch.float16):
            raise ExportError(f"the forward returns {value.dtype}, wanted torch.float32; export it without autocast")
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _flatten(item)
    elif value is not None:  # the tracer skips None
        raise ExportError(f"the forward returns {type(value).__name__}, wanted tensors, tuples or a dict of tensors")
