"""What a forward may change in its module: attributes, buffers, flags, past frames. It gets all of it back."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Undo = Callable[[], None]


@contextmanager
def kept(module: nn.Module) -> Iterator[None]:
    """Give a module its attributes and the values of its tensors back after this context, also after an error.

    Flags of training and of gradients, hooks, submodules, parameters, buffers and plain attributes are kept, also those
    inside tuples, lists, deques, sets and dicts. An object of another class is kept as the same object; its own
    attributes are not.
    """
    undone: list[Undo] = list(_undone(module))
    try:
        yield
    finally:
        with torch.no_grad():
            for undo in undone:
                undo()


def _undone(module: nn.Module) -> Iterator[Undo]:
    """Yield functions that undo changes of a module."""
    waiting: list[object] = [module]
    seen: dict[int, object] = {}  # it holds the values too, so that no id is used again
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, Tensor):
            yield _values_of(value)
        elif isinstance(value, nn.Module):
            waiting.append(vars(value))
            if isinstance(value, torch.jit.ScriptModule):  # its flag and tensors are not in its __dict__
                scripted = dict[str, object](value.named_buffers(recurse=False))
                if hasattr(value, "training"):  # a frozen module has no flag
                    scripted["training"] = value.training
                waiting.extend((*scripted.values(), *value.parameters(recurse=False), *value.children()))
                yield _attributes_of(value, scripted)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            yield _items_of(value)
        elif isinstance(value, list | deque | set | tuple):
            waiting.extend(value)
            if not isinstance(value, tuple):
                yield _elements_of(value)


def _values_of(tensor: Tensor) -> Undo:
    before, trained = tensor.detach().clone(), tensor.requires_grad

    def undo() -> None:
        if tensor.is_leaf and tensor.requires_grad != trained:
            tensor.requires_grad_(trained)
        if tensor.shape != before.shape:  # `self.h.data = h` of another batch
            tensor.data = before
        elif not torch.equal(tensor, before):  # a write would end an open backward pass that needs the tensor
            tensor.copy_(before)

    return undo


def _attributes_of(module: torch.jit.ScriptModule, before: dict[str, object]) -> Undo:
    def undo() -> None:
        for name, value in before.items():
            setattr(module, name, value)

    return undo


def _items_of(mapping: dict[object, object]) -> Undo:
    before = dict(mapping)

    def undo() -> None:
        if list(map(id, (*mapping, *mapping.values()))) != list(map(id, (*before, *before.values()))):
            mapping.clear()
            mapping.update(before)

    return undo


def _elements_of(held: list[object] | deque[object] | set[object]) -> Undo:
    before, give = list(held), held.update if isinstance(held, set) else held.extend

    def undo() -> None:
        if list(map(id, held)) != list(map(id, before)):
            held.clear()
            give(before)

    return undo
