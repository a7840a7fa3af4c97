"""Steps that a foreign file writes out in small operators become recurrent nodes."""

from collections.abc import Iterator, Mapping
from itertools import islice, product

import onnx

from ...runtime.cells import CELLS
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import remove_dead
from ..graph.markers import forget_markers
from ..rewrites.loops import roll_loops
from ..rewrites.single_steps import Call, mark_steps, write_single_steps
from ..written_cells.recognizer import WrittenCell, recognize
from ..written_cells.signals import find_signals
from .carried_values import carried_values
from .state_names import pair_by_name

_MOST_PAIRINGS = 24  # of states whose names say nothing; those of two layers

_Found = list[tuple[WrittenCell, Call]]


def write_steps(model: onnx.ModelProto, signal: str, given: Mapping[str, str] | None) -> str | None:
    """Replace steps of cells that are written out in small operators by recurrent nodes, in place.

    Args:
        model: A file without branches, its states inputs and outputs.
        signal: The input that is no state.
        given: The output that feeds each state input, as the caller says; None: find them.

    Returns:
        Why a part of the file that carries states is no cell; None if there is no such part.
    """
    sized, dims = _sized(model, signal)
    refusal = None
    for pairs in islice(_pairings(model, signal, given), _MOST_PAIRINGS):
        try:
            found = _cells(sized, dims, pairs)
        except UnsupportedError as error:
            refusal = refusal or str(error)
            continue
        for cell, call in found:
            mark_steps(model, cell, [call], dims)
        _write(model)
        return None
    return refusal


def _sized(model: onnx.ModelProto, signal: str) -> tuple[onnx.ModelProto, dict[str, Dims]]:
    """Return the model for one stream, and the shapes of its values; an axis of streams of any number has a name."""
    item = next(item for item in model.graph.input if item.name == signal)
    free = [axis for axis, size in enumerate(shape_of(item)) if not isinstance(size, int)] or [-1]
    sized, dims = sized_model(model, signal, dict.fromkeys(free, 1))
    fold_constants(sized)
    other = sized_model(model, signal, dict.fromkeys(free, 2))[1]
    return sized, {name: _named(one, other.get(name, one)) for name, one in dims.items()}


def _named(one: Dims, other: Dims) -> Dims:
    if len(one) != len(other):
        return one
    return tuple("batch" if a == 1 and b == 2 else a for a, b in zip(one, other, strict=True))


def _pairings(model: onnx.ModelProto, signal: str, given: Mapping[str, str] | None) -> Iterator[dict[str, str]]:
    """Yield the ways in which outputs may feed inputs: by the caller's word, by name, else by shape."""
    inputs = [item.name for item in model.graph.input if item.name != signal]
    outputs = {item.name: shape_of(item) for item in model.graph.output}
    pairs = pair_by_name(inputs, list(outputs)) if given is None else dict(given)
    left = [item for item in model.graph.input if item.name in inputs and item.name not in pairs]
    choices = [
        [name for name, dims in outputs.items() if name not in pairs.values() and _alike(shape_of(item), dims)]
        for item in left
    ]
    for chosen in product(*(one for one in choices if one)):
        if len(set(chosen)) == len(chosen):
            names = [item.name for item, one in zip(left, choices, strict=True) if one]
            yield pairs | dict(zip(names, chosen, strict=True))


def _alike(a: Dims, b: Dims) -> bool:
    """Return whether two shapes may be the same."""
    sizes = zip(a, b, strict=False)
    return len(a) == len(b) and all(x == y for x, y in sizes if isinstance(x, int) and isinstance(y, int))


def _cells(sized: onnx.ModelProto, dims: Mapping[str, Dims], pairs: Mapping[str, str]) -> _Found:
    """Return the cells of a file and their steps.

    Raises:
        UnsupportedError: States depend on each other as in no cell.
    """
    graph, found = Graph(sized), []
    shapes = {name: shape for name, one in dims.items() if (shape := _for_one_stream(one)) is not None}
    for states in _groups(graph, carried_values(sized, shapes, pairs)):
        signals = find_signals(graph, states)
        if unknown := [name for name in (*signals, *states) if name not in shapes]:
            raise UnsupportedError(
                f"the step of state {', '.join(states)} reads {unknown[0]!r}, whose shape is not known"
            )
        own = {name: shapes[name] for name in (*signals, *states)}
        found.append((recognize(graph, own, states), Call(signals, states)))
    return found


def _for_one_stream(dims: Dims) -> tuple[int, ...] | None:
    """Return a shape for one stream; None if it has a size that is not known."""
    sizes = [1 if size == "batch" else size for size in dims]
    return tuple(size for size in sizes if isinstance(size, int)) if None not in sizes else None


def _groups(graph: Graph, carried: Mapping[str, str]) -> list[dict[str, str]]:
    """Return carried values in groups that depend on each other; what only moves, or a node carries, is in none."""
    needs = {name: _needs(graph, name, carried) for name in carried}
    groups: list[dict[str, str]] = []
    for name in carried:
        own = [other for other in carried if other in needs[name] and name in needs[other]]
        if name in own and not any(name in group for group in groups):
            groups.append({other: carried[other] for other in own})
    return groups


def _needs(graph: Graph, name: str, carried: Mapping[str, str]) -> set[str]:
    """Return the carried values that the next value of one is computed from; none if a recurrent node does that."""
    waiting, seen = [carried[name]], set[str]()
    while waiting:
        node = graph.producer(wanted := waiting.pop())
        if wanted in seen or (node is not None and node.op_type in CELLS and wanted == carried[name]):
            continue
        seen.add(wanted)
        waiting += node.input if node is not None and wanted not in carried else ()
    return seen.intersection(carried)


def _write(model: onnx.ModelProto) -> None:
    """Replace the markers: by nodes over all frames of a sequence, if each reads one of them, else of one frame."""
    rolled = onnx.ModelProto()
    rolled.CopyFrom(model)
    try:
        roll_loops(rolled)
    except UnsupportedError:
        write_single_steps(model)
        remove_dead(model)
    else:
        model.CopyFrom(rolled)
    forget_markers(model)
