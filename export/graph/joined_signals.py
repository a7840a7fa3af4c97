"""Several signals side by side in one input: its features are those of the first signal, then those of the second."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.contract import Piece
from ...runtime.errors import ContractError
from .axes import Dims, set_dims, shape_of, shape_text
from .editing import unused

NAME = "signals"  # of the input that holds all


@dataclass(frozen=True)
class Signal:
    """One of several signals.

    Attributes:
        name: Its name.
        lead: Its axes of batch and time, in the order of the joined signal.
        frame: Its other axes.
        shape: The sizes of these other axes.
    """

    name: str
    lead: tuple[int, ...]
    frame: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The axes in the order of the joined signal."""
        return (*self.lead, *self.frame)


@dataclass(frozen=True)
class JoinedSignals:
    """Several signals, joined along their features: `[batch, time, features]`, or `[time, features]`.

    Attributes:
        name: The name of the joined input.
        signals: The signals in the order of their features.
    """

    name: str
    signals: tuple[Signal, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The signals for a contract."""
        return tuple(Piece(signal.name, signal.shape) for signal in self.signals)

    def together(self, arrays: Mapping[str, Array]) -> Array:
        """Return the joined signal of arrays by name."""
        return np.concatenate([_flat(signal, arrays[signal.name]) for signal in self.signals], -1)

    def apart(self, x: Array) -> dict[str, Array]:
        """Return the arrays of a joined signal by name, each with its own axes."""
        ends = np.cumsum([prod(signal.shape) for signal in self.signals])
        parts = zip(self.signals, np.split(x, ends[:-1], -1), strict=True)
        return {signal.name: _unflat(signal, part) for signal, part in parts}

    def join(self, model: onnx.ModelProto) -> None:
        """Replace the inputs of these names by one input, the first of the graph, in place."""
        inputs = {item.name: item for item in model.graph.input}
        first, features = self.signals[0], sum(prod(signal.shape) for signal in self.signals)
        dims = shape_of(inputs[first.name])
        item = helper.make_tensor_value_info(self.name, onnx.TensorProto.FLOAT, None)
        set_dims(item, (*(dims[axis] for axis in first.lead), features))
        names = {signal.name for signal in self.signals}
        kept = [other for other in model.graph.input if other.name not in names]
        nodes = [*self._taken_apart(model), *model.graph.node]
        del model.graph.input[:], model.graph.node[:]
        model.graph.input.extend([item, *kept])
        model.graph.node.extend(nodes)

    def _taken_apart(self, model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
        """Yield nodes that make each signal from the joined one."""
        sizes = numpy_helper.from_array(np.array([prod(s.shape) for s in self.signals], np.int64), f"{self.name}/sizes")
        model.graph.initializer.append(sizes)
        plain = {signal.name: signal.order == (*range(len(signal.order)),) for signal in self.signals}
        flat = {s.name: s.name if plain[s.name] and len(s.shape) == 1 else f"{s.name}/flat" for s in self.signals}
        place = len(self.signals[0].lead)
        yield helper.make_node("Split", [self.name, sizes.name], list(flat.values()), f"{self.name}/Split", axis=place)
        for signal in self.signals:
            if flat[signal.name] == signal.name:
                continue
            shape = numpy_helper.from_array(np.array([0] * place + [*signal.shape], np.int64), f"{signal.name}/shape")
            model.graph.initializer.append(shape)
            shaped = signal.name if plain[signal.name] else f"{signal.name}/frames"
            yield helper.make_node("Reshape", [flat[signal.name], shape.name], [shaped], f"{signal.name}/Reshape")
            if not plain[signal.name]:
                order = np.argsort(signal.order).tolist()
                yield helper.make_node("Transpose", [shaped], [signal.name], f"{signal.name}/Transpose", perm=order)


def joined_signals(shapes: Mapping[str, Dims], taken: Sequence[str] = ()) -> list[JoinedSignals]:
    """Return the ways to join signals: each takes other axes for batch and time; the usual way is the first.

    Args:
        shapes: The shapes of the signals by name; a free size has a name.
        taken: Names that the joined signal must not have.

    Raises:
        ContractError: The signals have no two axes in common that may be batch and time.
    """
    name = unused(NAME, [*taken, *shapes])
    (first, dims), *others = shapes.items()
    found, wide = [], any(len(own) > 3 for own in shapes.values())
    for lead in _leads(dims):
        sizes = tuple(dims[axis] for axis in lead)
        leads = {first: lead} | {other: _same(own, sizes, lead, anywhere=wide) for other, own in others}
        signals = [_signal(key, shapes[key], own) for key, own in leads.items() if own is not None]
        if len(signals) == len(shapes) and None not in signals:
            found.append(JoinedSignals(name, tuple(signal for signal in signals if signal is not None)))
    if not found:
        listed = ", ".join(f"{key!r} {shape_text(own)}" for key, own in shapes.items())
        raise ContractError(f"signals {listed}: wanted the same sizes of batch and time in each, and a fixed frame")
    return found


def _leads(dims: Dims) -> list[tuple[int, ...]]:
    """Return the axes that may be batch and time: those of free size first, then the usual ones."""
    rank = len(dims)
    pairs = [(0, axis) for axis in range(1, rank)] if rank > 2 else [(0,)]
    named = [pair for pair in pairs if all(not isinstance(dims[axis], int) for axis in pair[-1:])]
    return [*named, *(pair for pair in pairs if pair not in named)]


def _same(dims: Dims, sizes: Dims, usual: tuple[int, ...], *, anywhere: bool) -> tuple[int, ...] | None:
    """Return the axes with these sizes: the usual ones, or `anywhere` the first in this order."""
    choices = [usual, *(combinations(range(len(dims)), len(sizes)) if anywhere else ())]
    fits = (axes for axes in choices if max(axes) < len(dims) and tuple(dims[axis] for axis in axes) == sizes)
    return next(fits, None)


def _signal(name: str, dims: Dims, lead: tuple[int, ...]) -> Signal | None:
    frame = tuple(axis for axis in range(len(dims)) if axis not in lead)
    shape = tuple(size for axis in frame if isinstance(size := dims[axis], int))
    return Signal(name, lead, frame, shape) if len(shape) == len(frame) > 0 else None


def _flat(signal: Signal, x: Array) -> Array:
    moved = np.transpose(x, signal.order)
    return moved.reshape(*moved.shape[: len(signal.lead)], prod(signal.shape))


def _unflat(signal: Signal, x: Array) -> Array:
    return np.ascontiguousarray(np.transpose(x.reshape(*x.shape[:-1], *signal.shape), np.argsort(signal.order)))
