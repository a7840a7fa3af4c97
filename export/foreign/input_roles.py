"""Roles of a foreign file's inputs: which one is the signal and which are states, by name and checked in the graph."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.contract import State
from ...runtime.errors import ContractError, TidegateError, UnsupportedError
from ...runtime.graph.nodes import label
from ..graph.axes import Dims, shape_of, shape_text
from ..graph.editing import input_named
from ..states.caches import Cache, find_caches
from ..states.recurrent_states import ForeignState
from ..states.routes import Source, arrivals, number_inputs, sources, still
from .state_names import check_pairs, listed, pair_by_name


@dataclass(frozen=True)
class Roles:
    """The role of each input of a foreign file.

    Attributes:
        signal: The name of its signal input.
        states: The states that it has as inputs and outputs.
    """

    signal: str
    states: tuple[ForeignState, ...]


def likely_signal(model: onnx.ModelProto, given: Mapping[str, str] | None, options: Collection[str] = ()) -> str:
    """Return the input that is most likely the signal, only by names: the first input that no output feeds.

    Args:
        model: The file.
        given: The output that feeds each state input, as the caller says; None: find them.
        options: Inputs that stay the same for a whole stream.

    Raises:
        ContractError: The caller's pairs have names that the file has not, or every input may be a state.
    """
    inputs, outputs = ([item.name for item in items] for items in (model.graph.input, model.graph.output))
    if given is not None:
        check_pairs(given, inputs, outputs)
    if not inputs:
        raise ContractError("the file has no input, wanted one signal")
    pairs = named_pairs(model) if given is None else given
    left = [name for name in inputs if name not in pairs and name not in options]
    left = left or [name for name in inputs if name not in options and name not in started_inputs(model)]
    if not left:
        raise ContractError(
            f"every input ({listed(inputs)}) may be a state by its name, wanted one signal; leave out the one that is "
            f"no state: {' '.join(f'--state {name}={output}' for name, output in pairs.items())}"
        )
    return left[0]


def started_inputs(model: onnx.ModelProto) -> set[str]:
    """Return the inputs that start a recurrent layer, as far as the graph has recurrent nodes, or that are caches."""
    return {part.name for part in carried_parts(model)}


def carried_parts(model: onnx.ModelProto) -> list[Source | Cache]:
    """Return what starts from the inputs of a file, as far as the graph has recurrent nodes and caches."""
    with suppress(TidegateError, IndexError, KeyError, RuntimeError, ValueError):  # `find_roles` says it later
        return [part for parts in _carried(model).started.values() for part in parts]
    return []


def find_roles(model: onnx.ModelProto, given: Mapping[str, str] | None, static: Collection[str] = ()) -> Roles:
    """Return the signal and the states of a file.

    Args:
        model: A graph without branches; its recurrent nodes have unique names.
        given: The output that feeds each state input, as the caller says; None: find them.
        static: The static inputs.

    Raises:
        ContractError: A state is ambiguous, no output feeds it, or the named output does not; or there is no single
            signal.
        UnsupportedError: An input has the name of a state but starts no recurrent layer.
    """
    carried = _carried(model)
    routes, started = carried.routes, carried.started
    pairs = named_pairs(model) if given is None else given
    if given is not None:
        routes.refuse_mistaken(given, started)
    states = []
    for name, layers in started.items():
        what = f"state input {name!r}, which {_use(layers[0])},"
        output = (
            routes.check(name, pairs[name], what) if name in pairs else routes.find(name, what, named=given is not None)
        )
        states.append(_foreign_state(model, State(name, output, "state", ()), layers, routes.numbers[name]))
    signal = _signal(model, [*started, *static], pairs, named=given is not None)
    _refuse_streams(model, signal, [part for layers in started.values() for part in layers])
    return Roles(signal, tuple(states))


_Part = Source | Cache


@dataclass(frozen=True)
class _Carried:
    """What a file carries: its routes, and by state input what starts from it."""

    routes: "_Routes"
    started: Mapping[str, list[_Part]]


def _carried(model: onnx.ModelProto) -> _Carried:
    """Return what a file carries, in recurrent states and in caches of which an output holds the next values."""
    one, shapes = still(model)
    numbers = number_inputs(one)
    found: list[_Part] = list(sources(one, numbers, shapes))
    layers = [part for part in found if isinstance(part, Source)]
    caches = find_caches(one, numbers, shapes)
    nexts = {name: values for cache in caches for name, values in reversed([*cache.nexts.items()])}
    arrived = arrivals(one, layers, nexts, numbers if caches else {})
    back = {number for values in arrived.values() for number in values.ravel().tolist()}
    found += [cache for cache in caches if back.issuperset(cache.numbers)]
    started: dict[str, list[_Part]] = {}
    for part in found:
        started.setdefault(part.name, []).append(part)
    read = np.array([number for part in found for number in part.numbers])
    return _Carried(_Routes(numbers, arrived, read), started)


@dataclass(frozen=True)
class _Routes:
    """The routes of states through a graph, as `states.routes` follows them.

    Attributes:
        numbers: The numbers of each input's values.
        arrivals: For each output that holds only final states, the numbers of the values that they started from.
        read: The numbers of the values that layers and caches read; what an input holds besides has no use.
    """

    numbers: Mapping[str, Array]
    arrivals: Mapping[str, Array]
    read: Array

    def feeding(self, name: str) -> list[str]:
        """Return the outputs that hold an input's next state, value by value in the same place."""
        own = self.numbers[name]
        used = np.isin(own, self.read)
        fits = (output for output, values in self.arrivals.items() if values.shape == own.shape)
        return [output for output in fits if np.array_equal(self.arrivals[output][used], own[used])]

    def refuse_mistaken(self, given: Mapping[str, str], started: Collection[str]) -> None:
        """Refuse a pair of the caller whose input starts no layer and whose output feeds another input.

        Raises:
            ContractError: There is such a pair.
        """
        for name, output in given.items():
            fed = [other for other in started if output in self.feeding(other)]
            if name not in started and fed:
                raise ContractError(
                    f"input {name!r} starts no recurrent layer, and output {output!r} is the next state of {fed[0]!r}; "
                    f"--state {fed[0]}={output} in place of --state {name}={output}"
                )

    def check(self, name: str, output: str, what: str) -> str:
        """Return the output named for an input, if it holds the next state.

        Raises:
            ContractError: It does not.
        """
        fed = self.feeding(name)
        if output in fed:
            return output
        way = f"{listed(fed)} does: --state {name}={fed[0]}" if fed else f"no output does; {_no_output(name)}"
        raise ContractError(
            f"{what} is paired with output {output!r}, which holds {self.seen(output)}, not its next state; {way}"
        )

    def find(self, name: str, what: str, *, named: bool) -> str:
        """Return the only output that feeds an input.

        Raises:
            ContractError: There is none or more than one, or the caller named states and left this one out.
        """
        fed = self.feeding(name)
        way = f"--state {name}={fed[0] if fed else 'OUTPUT'}"
        if named:
            raise ContractError(f"{what} is not among the states given; add it: {way}")
        if len(fed) == 1:
            return fed[0]
        if fed:
            raise ContractError(f"{what} may be fed by any of the outputs {listed(fed)}; say which: {way}")
        others = ", ".join(f"{output!r} ({self.seen(output)})" for output in self.arrivals) or "none"
        raise ContractError(
            f"{what} is fed by no output, wanted one that returns its final state; outputs that hold final states: "
            f"{others}; {_no_output(name)}"
        )

    def seen(self, output: str) -> str:
        """Return what an output holds, as text for messages."""
        values = self.arrivals.get(output)
        if values is None:
            return "not only a final state"
        whole = set(values.ravel().tolist())
        for name, own in self.numbers.items():
            if set(own.ravel().astype(int).tolist()) == whole:
                how = "" if np.array_equal(own, values) else f" as {list(values.shape)} for {list(own.shape)}"
                return f"the final state of {name!r}" + (
                    how if own.shape != values.shape else " in another order" if how else ""
                )
        return "only a part of a state"


def _no_output(name: str) -> str:
    return (
        "export the model with its final states as outputs, or set what a stream starts from, and the state is carried "
        f"inside (--set {name}=0)"
    )


def named_pairs(model: onnx.ModelProto) -> dict[str, str]:
    """Return the pairs given by names, if the input and the output have the same type and shapes that fit."""
    inputs, outputs = ({item.name: item for item in items} for items in (model.graph.input, model.graph.output))
    pairs = pair_by_name(list(inputs), list(outputs), started_inputs(model))
    return {name: output for name, output in pairs.items() if _alike(inputs[name], outputs[output])}


def _alike(first: onnx.ValueInfoProto, second: onnx.ValueInfoProto) -> bool:
    kinds = {item.type.tensor_type.elem_type for item in (first, second)}
    a, b = shape_of(first), shape_of(second)
    fits = not b or len(a) == len(b)
    sizes = zip(a, b, strict=False)
    return len(kinds) == 1 and fits and all(x == y for x, y in sizes if isinstance(x, int) and isinstance(y, int))


def _foreign_state(model: onnx.ModelProto, pair: State, parts: Sequence[_Part], numbers: Array) -> ForeignState:
    """Return a state and what it starts; it is packed unless its shape is [layers, 1, hidden]."""
    dims = shape_of(input_named(model, pair.input))
    layers = [part for part in parts if isinstance(part, Source)]
    caches = tuple(part for part in parts if isinstance(part, Cache))
    own = {source.numbers: source for source in layers}
    rows = [tuple(map(int, row)) for row in numbers.reshape(len(numbers), -1)] if numbers.ndim == 3 else []
    in_order = [own[row] for row in rows if row in own]
    kinds = {source.slot.kind for source in layers}
    kind = kinds.pop() if len(kinds) == 1 and not caches else "state"
    if rows and len(in_order) == len(rows) == len(parts) and numbers.shape[1] == 1:
        state = replace(pair, kind=kind, shape=(len(rows), "batch", numbers.shape[2]))
        return ForeignState(state, tuple((source.node.name, source.slot) for source in in_order), dims)
    _refuse_shared(pair.input, layers)
    state = replace(pair, kind=kind, shape=_packed_shape(pair.input, dims))
    starts = tuple((source.node.name, source.slot) for source in layers)
    return ForeignState(state, starts, dims, packed=True, caches=caches)


def _use(part: _Part) -> str:
    """Return what a state input does first, as text for messages."""
    return f"starts {label(part.node)}" if isinstance(part, Source) else f"comes before {part.signal!r}"


def _refuse_streams(model: onnx.ModelProto, signal: str, parts: Sequence[_Part]) -> None:
    """Refuse rows of a state that are streams: bands are rows of one stream.

    Raises:
        ContractError: The file is for several streams.
    """
    streams, *_ = (*shape_of(input_named(model, signal)), 1)
    for part in parts:
        if isinstance(part, Source) and part.rows > 1 and isinstance(streams, int) and streams > 1:
            raise ContractError(
                f"{label(part.node)}: initial_{part.slot.kind} gets {len(part.numbers)} values of {part.name!r}, for "
                f"{streams} streams, wanted {part.size}; export the model for one stream"
            )


def _refuse_shared(name: str, layers: Sequence[Source]) -> None:
    """Refuse a packed state if two states of layers start from one of its values: they cannot become two states."""
    starts: dict[int, onnx.NodeProto] = {}
    for source in layers:
        for number in source.numbers:
            other = starts.setdefault(number, source.node)
            if other is not source.node or len(set(source.numbers)) < len(source.numbers):
                raise ContractError(
                    f"state input {name!r} starts {label(other)} and {label(source.node)} from the same of its values, "
                    "wanted values of its own for each state; export the model with one state for each layer"
                )


def _packed_shape(name: str, dims: Dims) -> tuple[int | str, ...]:
    shape = as_shape(dims)
    if shape.count("batch") > 1:
        raise ContractError(
            f"state input {name!r} has shape {shape_text(dims)}, wanted at most one free size, the number of streams"
        )
    return shape


def as_shape(dims: Dims) -> tuple[int | str, ...]:
    """Return the shape of a state as in a contract: a size that the file leaves open is the batch."""
    return tuple(size if isinstance(size, int) else "batch" for size in dims)


def _signal(model: onnx.ModelProto, started: Collection[str], pairs: Mapping[str, str], *, named: bool) -> str:
    """Return the only input that is not a state."""
    left = [item.name for item in model.graph.input if item.name not in started]
    signals = [name for name in left if name not in pairs]
    if len(signals) == len(left) == 1:
        return signals[0]
    if not left:
        raise ContractError("every input starts a recurrent layer, wanted one signal input too")
    if len(left) > 1 and len(signals) != 1:
        raise ContractError(
            f"the inputs {listed(left)} start no recurrent layer, wanted one signal; {_set_or_static(model, left[-1])}"
        )
    if len(left) == 1 and not named:
        return left[0]
    if len(left) == 1:
        raise ContractError(
            f"input {left[0]!r} is the only one that starts no recurrent layer, so it is the signal; leave out --state "
            f"{left[0]}={pairs[left[0]]}"
        )
    state = next(name for name in left if name in pairs)
    raise UnsupportedError(
        f"state input {state!r} (fed by {pairs[state]!r}) starts no LSTM, GRU or RNN, wanted states of layers; of "
        "other values a stream keeps only the last frames of a causal nn.Conv1d: let the module pad on the left in "
        "place of this input (nn.ConstantPad1d((frames, 0), 0.0)), and export it (`tidegate export`)"
    )


def _set_or_static(model: onnx.ModelProto, name: str) -> str:
    """Return the way out for an input that is neither a signal nor a state; only floats without frames are static."""
    dims, kind = next((shape_of(i), i.type.tensor_type.elem_type) for i in model.graph.input if i.name == name)
    way = f"set the inputs that stay the same for a stream (--set {name}=VALUE)"
    if kind != onnx.TensorProto.FLOAT or not all(isinstance(size, int) for size in dims[1:]):
        return way
    return f"{way}, or say which a caller may change (--static {name})"
