"""Further arguments of a forward, after its signal: initial states, and lengths of sequences to pack."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...runtime.arrays import Array
from ...runtime.errors import ContractError, ExportError
from ..graph.joined_signals import joined_signals
from ..rewrites.arguments import FLOATS_APART


def split_example(example: object) -> tuple[object, tuple[Any, ...]]:
    """Return the signal of an example and its further arguments, e.g. `(x, (h, c))` as for torch.onnx.export.

    Raises:
        ExportError: The example has a dict, or a further argument is neither a state nor lengths.
    """
    parts = example if isinstance(example, tuple) else (example,)
    if any(isinstance(part, Mapping) for part in parts):
        raise ExportError(f"the example has a dict, wanted tensors; {FLOATS_APART}")
    if isinstance(example, tuple) and example and isinstance(example[0], Tensor | np.ndarray):
        return example[0], tuple(map(_as_tensors, example[1:]))
    return example, ()


class OtherInputs:
    """Arguments of a forward after its signal: states, further signals, static inputs and lengths; None stays None.

    Floats are states unless another role is found; integers are lengths unless they advance with the signal: ids.

    Args:
        parameters: The names of the forward's parameters after the signal.
        values: The arguments in the example: tensors, None, or tuples of them.
        static: The names of arguments that stay the same for a stream, as the caller says.

    Attributes:
        names: The names of the tensors, in the order in which torch flattens them.
        whole: The names of those that are a parameter of the forward themselves, not a part of a tuple.
        signals: The names of those that advance with the first signal.
        static: The names of those that stay the same for a stream.
    """

    def __init__(self, parameters: Sequence[str], values: tuple[Any, ...], static: Sequence[str] = ()) -> None:
        named = zip(parameters, values, strict=False)
        self._values = values
        self._tensors = {name: tensor for parameter, value in named for name, tensor in _leaves(parameter, value)}
        self.names = list(self._tensors)
        self.whole = [name for name in self.names if name in parameters]
        self.signals: list[str] = []
        self._doubted: list[str] = []
        self.static: list[str] = []
        for name in static:
            if name not in self.whole or name not in self.states:
                raise ExportError(f"static input {name!r} is none of the floats after the signal in the example")
        self.static += static

    @property
    def states(self) -> list[str]:
        """The names of the states."""
        kept = {*self.signals, *self.static}
        return [name for name, tensor in self._tensors.items() if tensor.is_floating_point() and name not in kept]

    @property
    def lengths(self) -> list[str]:
        """The names of integers that are no signals: lengths."""
        integers = [name for name, tensor in self._tensors.items() if not tensor.is_floating_point()]
        return [name for name in integers if name not in self.signals]

    def of_example(self, names: Sequence[str]) -> dict[str, Array]:
        """Return tensors of the example by name."""
        return {name: self._tensors[name].numpy() for name in names}

    def find_signals(self, name: str, signal: Tensor) -> None:
        """Find the signals that advance with the first one: floats, or ids, with its sizes of batch and time.

        Args:
            name: The name of the first signal.
            signal: Its tensor in the example.
        """
        axes = _leading_axes(signal)
        for other in self.whole:
            tensor = self._tensors[other]
            if other in self.static or _leading_axes(tensor) < axes:
                continue
            ids = [key for key, value in ((name, signal), (other, tensor)) if not value.is_floating_point()]
            with suppress(ContractError):
                joined_signals({name: tuple(signal.shape), other: tuple(tensor.shape)}, ids=ids)
                self.signals.append(other)

    def settle(self, started: Collection[str], read: Collection[str], joined: str | None) -> bool:
        """Let the graph decide which floats are states, and which other ones it reads; return whether it corrected any.

        Args:
            started: The inputs that start a recurrent layer.
            read: The names that nodes read.
            joined: The input that holds all signals; None if there is one signal. If it starts a layer, one of them is
                a state with the sizes of a signal; the graph without the join says which.
        """
        before = list(self.signals), list(self.static)
        if joined in started:
            self._doubted, self.signals = self.signals, []
            return True
        self.signals = [name for name in (*self.signals, *self._doubted) if name not in started]
        self._doubted = []
        unsorted = [name for name in self.whole if name in self.states and name in read]
        self.static += [name for name in unsorted if name not in started]
        return before != (self.signals, self.static)

    def arguments(
        self, sizes: "SignalSizes | None" = None, states: Mapping[str, Array] | None = None
    ) -> tuple[Any, ...]:
        """Return the arguments.

        Args:
            sizes: The sizes of the signal; None: those of the example.
            states: Float32 states by name; a state that is not given is zeros. Lengths are always those of whole
                sequences.
        """
        found = iter(self.tensors(sizes, states).values())
        return tuple(_mapped(value, lambda _: next(found)) for value in self._values)

    def tensors(
        self, sizes: "SignalSizes | None" = None, states: Mapping[str, Array] | None = None
    ) -> dict[str, Tensor]:
        """Return all tensors in the arguments by name; see `arguments`."""
        return {name: self._tensor(name, sizes, states or {}) for name in self.names}

    def _tensor(self, name: str, sizes: "SignalSizes | None", states: Mapping[str, Array]) -> Tensor:
        tensor = self._tensors[name]
        if name in states:
            return torch.from_numpy(states[name].copy())
        if name in self.signals or name in self.static:
            return tensor
        if name not in self.states:
            return (
                tensor.max().expand(tensor.shape) if sizes is None else torch.full((sizes.streams or 1,), sizes.frames)
            )
        return _zeros(tensor, sizes)


@dataclass(frozen=True)
class SignalSizes:
    """Sizes of a signal.

    Attributes:
        frames: Its frames.
        streams: Its streams; None: it has no batch axis.
        example_streams: The streams of the example.
    """

    frames: int
    streams: int | None = None
    example_streams: int | None = None


def as_tensor(example: object) -> torch.Tensor:
    """Return a copy of an example signal as a float32 or int64 tensor on the CPU."""
    if isinstance(example, tuple) and len(example) == 1:
        example = example[0]  # as torch.onnx.export takes it
    try:
        example = example if isinstance(example, torch.Tensor) else torch.from_numpy(np.array(example))
    except (TypeError, ValueError):
        seen = type(example).__name__
        raise ExportError(
            f"the example is {seen}, wanted a tensor or an array of numbers; several signals are arguments of their "
            "own, (near, far)"
        ) from None
    if example.is_complex():
        raise ExportError(f"the example is {example.dtype}, wanted real numbers; give both parts as features")
    tensor = example.detach().to("cpu", torch.float32 if example.is_floating_point() else torch.int64, copy=True)
    if not tensor.numel() or not tensor.dim():
        raise ExportError(f"the example has shape {list(tensor.shape)}, wanted at least one frame")
    if not torch.isfinite(tensor).all():
        raise ExportError("the example holds NaN or infinite values; take one from the real data")
    return tensor


def _leading_axes(tensor: Tensor) -> int:
    """Return the axes before the features of a signal, which ids do not have."""
    return tensor.dim() - tensor.is_floating_point()


def _as_tensors(value: object) -> Any:  # noqa: ANN401  tensors, nested as they were
    if value is None:
        return None
    if isinstance(value, bool | str):
        raise ExportError(
            f"the example has the option {value!r}, wanted tensors: leave it out if the forward has a default, else "
            "wrap the module in one whose forward sets it"
        )
    if isinstance(value, tuple | list) and not all(isinstance(item, int | float) for item in value):
        return tuple(map(_as_tensors, value))
    try:
        tensor = torch.as_tensor(value).detach().cpu()
    except (RuntimeError, TypeError, ValueError):
        raise ExportError(f"the example has a part {type(value).__name__}, wanted tensors; {FLOATS_APART}") from None
    if tensor.dtype == torch.bool:
        raise ExportError(f"the example has a mask (torch.bool), wanted states or lengths; {FLOATS_APART}")
    return tensor.float() if tensor.is_floating_point() else tensor.long()


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401  tensors, nested
    if isinstance(value, Tensor):
        yield name, value
    elif value is not None:
        for i, item in enumerate(value):
            yield from _leaves(f"{name}_{i}", item)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401  tensors, nested
    if value is None or isinstance(value, Tensor):
        return None if value is None else change(value)
    return tuple(_mapped(item, change) for item in value)


def _zeros(state: Tensor, sizes: SignalSizes | None) -> Tensor:
    """Return zeros like a state of the example, for other sizes: [layers, streams, hidden] or [streams, hidden]."""
    if sizes is None or sizes.streams is None:
        return torch.zeros_like(state)
    usual, shape = (1 if state.dim() > 2 else 0), list(state.shape)
    axes = [axis for axis in (usual, *range(state.dim())) if shape[axis] == sizes.example_streams]
    if not axes:
        raise ExportError(
            f"a state of the example has shape {shape}, wanted an axis of {sizes.example_streams} streams"
        )
    shape[axes[0]] = sizes.streams
    return torch.zeros(shape)
