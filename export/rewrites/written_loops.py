"""Loops over time with cells written out in small operators: each step becomes a marker, as of a cell of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, sized_model
from ..graph.constants import fold_constants
from ..states.routes import moved
from ..written_cells.recognizer import WrittenCell, recognize
from ..written_cells.signals import find_signals, groups
from ..written_cells.unrolled import UnrolledLoop, carried, common_values, counterparts, find_loops
from .single_steps import Call, for_one_stream, mark_steps, name_streams


def mark_loops(model: onnx.ModelProto, source: str, free: Sequence[int]) -> str | None:
    """Let markers compute the states of loops over time that are written out in small operators, in place.

    Args:
        model: A graph in which tracing unrolled the loops.
        source: Its signal input.
        free: The axes of the signal whose sizes may vary.

    Returns:
        Why a loop is no LSTM, GRU or RNN; None if there is no such loop.
    """
    graph, refusal = Graph(model), None
    marks: list[tuple[WrittenCell, list[Call], Mapping[str, Dims]]] = []
    for loop in find_loops(graph):
        sized, dims = _sizes(model, graph, loop, source, free)
        try:
            marks += [(cell, calls, dims) for cell, calls in _Loop(graph, loop, Graph(sized), dims).cells()]
        except UnsupportedError as error:
            refusal = refusal or str(error)
    paths = [_path(graph, calls[0]) for _, calls, _ in marks]
    for (cell, calls, dims), path in zip(marks, paths, strict=True):
        mark_steps(model, cell, calls, dims, path)
    return refusal


def _sizes(
    model: onnx.ModelProto, graph: Graph, loop: UnrolledLoop, source: str, free: Sequence[int]
) -> tuple[onnx.ModelProto, Mapping[str, Dims]]:
    """Return the model for one stream, and the shapes of its values with the axis of streams by name."""
    usual = dict.fromkeys(free or [-1], loop.steps)
    dims = sized_model(model, source, usual)[1]
    named, streams, state = dims, dict(usual), carried(graph, loop, 0)[0]
    for axis in free:
        with_more = name_streams(dims, sized_model(model, source, usual | {axis: loop.steps + 1})[1])
        if with_more.get(state) != dims.get(state):
            named, streams[axis] = with_more, 1
    sized = sized_model(model, source, streams)[0]
    fold_constants(sized)
    return sized, named


def _path(graph: Graph, call: Call) -> str:
    """Return the path of the module that makes the states of a step, from the name of a node."""
    maker = graph.producer(call.nexts[0])
    return "" if maker is None else maker.name.rpartition("/")[0]


def _at(graph: Graph, name: str, states: Mapping[str, Array]) -> Array | None:
    """Return a value that is computed from constants and states only, at these states; None if it is not."""
    if name in states or graph.producer(name) is None:
        return states.get(name)
    return moved(graph.model, name, states)


def _of(step: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Return what stands for some values at a step; an empty name for a state of zeros."""
    return [step.get(name, "") for name in names]


@dataclass(frozen=True)
class _Loop:
    """An unrolled loop whose cells are looked for.

    Attributes:
        graph: Its graph.
        loop: The loop.
        sized: The graph for one stream.
        dims: The shapes of its values.
    """

    graph: Graph
    loop: UnrolledLoop
    sized: Graph
    dims: Mapping[str, Dims]

    def cells(self) -> Iterator[tuple[WrittenCell, list[Call]]]:
        """Yield the cells of the loop and their steps; nothing if the steps read no frames.

        Raises:
            UnsupportedError: A part of it is no cell, or its steps differ.
        """
        shapes = for_one_stream(self.dims)
        for states in groups(self.graph, self._states()):
            signals = find_signals(self.sized, states, common_values(self.graph, self.loop))
            steps = list(self._steps(states, signals))
            steps = [*self._from_zeros(states, signals, steps[0]), *steps]
            if all(steps[-1][name] == steps[-2][name] for name in signals):
                continue
            cell = recognize(self.sized, {name: shapes[name] for name in (*signals, *states)}, states)
            nexts = [states[name] for name in cell.states]
            yield cell, [Call(*(_of(step, names) for names in (signals, cell.states, nexts))) for step in steps]

    def _states(self) -> dict[str, str]:
        """Return the states after the first step, each with its next value.

        Raises:
            UnsupportedError: The first two steps differ.
        """
        before, after = (carried(self.graph, self.loop, step) for step in range(2))
        pairs, common = dict(zip(before, after, strict=False)), common_values(self.graph, self.loop)
        ends = {*before, *find_signals(self.sized, pairs, common)}
        found = {}
        for name in after:
            like = [one for one in before if counterparts(self.graph, name, one, {}, ends) is not None]
            if len(like) != 1:
                raise UnsupportedError(
                    f"a loop over time carries {name!r}, which {len(like)} values of the step before are made like, "
                    "wanted one; start the loop from a state that is not constant, or let its steps be the same"
                )
            found[like[0]] = name
        return found

    def _steps(self, states: Mapping[str, str], signals: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield for each step the values that stand for the signals, states and next states of the second step."""
        ends, known = {*signals, *states}, dict[str, str]()
        for step in range(self.loop.steps):
            own = {name: known[after] for name, after in states.items() if step}
            for name, after in states.items():
                own = self._match(after, self.loop.made_in(step) if step > 1 else [(name, after)[step]], own, ends)
            known = own if step != 1 else own | {name: name for name in ends}
            yield known

    def _from_zeros(
        self, states: Mapping[str, str], signals: Sequence[str], first: Mapping[str, str]
    ) -> Iterator[dict[str, str]]:
        """Yield the step before the first, if it starts from zeros and what they are multiplied by was folded away."""
        zeros = {name: np.zeros(for_one_stream(self.dims)[name], np.float32) for name in states}

        def folded(one: str, two: str) -> bool:
            seen = self.sized.constant(two)
            wanted = None if seen is None else _at(self.sized, one, zeros)
            return (
                seen is not None and wanted is not None and np.array_equal(wanted, np.broadcast_to(seen, wanted.shape))
            )

        known: dict[str, str] = {}
        for name, after in states.items():
            found = counterparts(self.graph, after, first[name], known, {*signals, *states}, folded)
            if found is None or self.graph.producer(first[name]) is None:
                return
            known = found
        if all(name in known for name in signals):
            yield {name: one for name, one in known.items() if name not in states}

    def _match(self, name: str, wanted: Sequence[str], known: Mapping[str, str], ends: set[str]) -> dict[str, str]:
        """Return the counterparts of a state and all that makes it, with the state that is one of those wanted."""
        for one in wanted:
            found = counterparts(self.graph, name, one, known, ends)
            if found is not None:
                return found
        raise UnsupportedError(f"a loop over time makes {name!r} in other ways at other steps, wanted the same steps")
