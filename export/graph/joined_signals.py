"""Several signals side by side in one input: its features are those of the first signal, then those of the second.

An id is one feature, a whole number.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
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
        frame: Its other axes; ids have none.
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
        return np.concatenate([_flat(signal, arrays[signal.name]) for signal in self.signals], -1, dtype=np.float32)

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
        kinds = {name: item.type.tensor_type.elem_type for name, item in inputs.items()}
        item = helper.make_tensor_value_info(self.name, onnx.TensorProto.FLOAT, None)
        set_dims(item, (*(dims[axis] for axis in first.lead), features))
        names = {signal.name for signal in self.signals}
        kept = [other for other in model.graph.input if other.name not in names]
        nodes = [*self._taken_apart(model, kinds), *model.graph.node]
        del model.graph.input[:], model.graph.node[:]
        model.graph.input.extend([item, *kept])
        model.graph.node.extend(nodes)

    def _taken_apart(self, model: onnx.ModelProto, kinds: Mapping[str, int]) -> Iterator[onnx.NodeProto]:
        """Yield nodes that make each signal from the joined one."""
        plain = {signal.name: signal.order == (*range(len(signal.order)),) for signal in self.signals}
        flat = {s.name: s.name if plain[s.name] and len(s.shape) == 1 else f"{s.name}/flat" for s in self.signals}
        place = len(self.signals[0].lead)
        if all(signal.shape for signal in self.signals):
            yield self._split(model, list(flat.values()), place)
        else:
            yield from self._pieces(model, flat, place, kinds)
        for signal in self.signals:
            if flat[signal.name] == signal.name or not signal.shape:
                continue
            shape = numpy_helper.from_array(np.array([0] * place + [*signal.shape], np.int64), f"{signal.name}/shape")
            model.graph.initializer.append(shape)
            shaped = signal.name if plain[signal.name] else f"{signal.name}/frames"
            yield helper.make_node("Reshape", [flat[signal.name], shape.name], [shaped], f"{signal.name}/Reshape")
            if not plain[signal.name]:
                order = np.argsort(signal.order).tolist()
                yield helper.make_node("Transpose", [shaped], [signal.name], f"{signal.name}/Transpose", perm=order)

    def _split(self, model: onnx.ModelProto, names: Sequence[str], axis: int) -> onnx.NodeProto:
        sizes = _constant(model, f"{self.name}/sizes", [prod(signal.shape) for signal in self.signals])
        return helper.make_node("Split", [self.name, sizes], names, f"{self.name}/Split", axis=axis)

    def _pieces(
        self, model: onnx.ModelProto, names: Mapping[str, str], axis: int, kinds: Mapping[str, int]
    ) -> Iterator[onnx.NodeProto]:
        """Yield nodes that take the features of each signal one by one: a Split would compute with ids."""
        end, axes = 0, _constant(model, f"{self.name}/axis", [axis])
        for signal in self.signals:
            start, end, own = end, end + prod(signal.shape), signal.name
            if signal.shape:
                bounds = [_constant(model, f"{own}/start", [start]), _constant(model, f"{own}/end", [end]), axes]
                yield helper.make_node("Slice", [self.name, *bounds], [names[own]], f"{own}/Slice")
            else:
                reads = [self.name, _constant(model, f"{own}/feature", start)]
                yield helper.make_node("Gather", reads, [f"{own}/number"], f"{own}/Gather", axis=axis)
                yield helper.make_node("Cast", [f"{own}/number"], [own], f"{own}/Cast", to=kinds[own])


def _constant(model: onnx.ModelProto, name: str, values: Sequence[int] | int) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    return name


def joined_signals(
    shapes: Mapping[str, Dims], taken: Sequence[str] = (), ids: Collection[str] = ()
) -> list[JoinedSignals]:
    """Return the ways to join signals: each takes other axes for batch and time; the usual way is the first.

    Args:
        shapes: The shapes of the signals by name; a free size has a name.
        taken: Names that the joined signal must not have.
        ids: The signals that are ids: they have no axis but batch and time.

    Raises:
        ContractError: The signals have no two axes in common that may be batch and time.
    """
    name = unused(NAME, [*taken, *shapes])
    (first, dims), *others = shapes.items()
    found, wide = [], any(len(own) > 3 for own in shapes.values())
    for lead in _leads(dims, ids=first in ids):
        sizes = tuple(dims[axis] for axis in lead)
        leads = {first: lead} | {other: _same(own, sizes, lead, anywhere=wide) for other, own in others}
        signals = [_signal(key, shapes[key], own, ids=key in ids) for key, own in leads.items() if own is not None]
        if len(signals) == len(shapes) and None not in signals:
            found.append(JoinedSignals(name, tuple(signal for signal in signals if signal is not None)))
    if not found:
        listed = ", ".join(f"{key!r} {shape_text(own)}" for key, own in shapes.items())
        raise ContractError(f"signals {listed}: wanted the same sizes of batch and time in each, and a fixed frame")
    return found


def _leads(dims: Dims, *, ids: bool) -> list[tuple[int, ...]]:
    """Return the axes that may be batch and time: those of free size first, then the usual ones."""
    rank = len(dims)
    pairs = [(0, axis) for axis in range(1, rank)] if rank + ids > 2 else [(0,)]
    named = [pair for pair in pairs if all(not isinstance(dims[axis], int) for axis in pair[-1:])]
    return [*named, *(pair for pair in pairs if pair not in named)]


def _same(dims: Dims, sizes: Dims, usual: tuple[int, ...], *, anywhere: bool) -> tuple[int, ...] | None:
    """Return the axes with these sizes: the usual ones, or `anywhere` the first in this order."""
    choices = [usual, *(combinations(range(len(dims)), len(sizes)) if anywhere else ())]
    fits = (axes for axes in choices if max(axes) < len(dims) and tuple(dims[axis] for axis in axes) == sizes)
    return next(fits, None)


def _signal(name: str, dims: Dims, lead: tuple[int, ...], *, ids: bool) -> Signal | None:
    frame = tuple(axis for axis in range(len(dims)) if axis not in lead)
    shape = tuple(size for axis in frame if isinstance(size := dims[axis], int))
    return Signal(name, lead, frame, shape) if len(shape) == len(frame) and bool(frame) != ids else None


def _flat(signal: Signal, x: Array) -> Array:
    moved = np.transpose(x, signal.order)
    return moved.reshape(*moved.shape[: len(signal.lead)], prod(signal.shape))


def _unflat(signal: Signal, x: Array) -> Array:
    frames = np.ascontiguousarray(np.transpose(x.reshape(*x.shape[:-1], *signal.shape), np.argsort(signal.order)))
    return frames if signal.shape else frames.astype(np.int64)
