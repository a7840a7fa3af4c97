"""Steps that a foreign file writes out in small operators become recurrent nodes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product

import onnx

from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.constants import fold_constants
from ..graph.editing import input_named, remove_dead
from ..graph.markers import forget_markers
from ..rewrites.loops import roll_loops
from ..rewrites.single_steps import Call, for_one_stream, mark_steps, name_streams, write_single_steps
from ..rewrites.written_loops import mark_loops
from ..written_cells.recognizer import WrittenCell, recognize
from ..written_cells.signals import find_signals, groups
from .carried_values import carried_values
from .opsets import SPLIT_OPSET, modernize, needs_split_opset
from .state_names import pair_by_name

_MOST_PAIRINGS = 24  # of states whose names say nothing; those of two layers

_Found = list[tuple[WrittenCell, Call]]


def write_steps(
    model: onnx.ModelProto, signal: str, given: Mapping[str, str] | None, others: Sequence[str] = ()
) -> str | None:
    """Replace steps of cells that are written out in small operators by recurrent nodes, in place.

    Args:
        model: A file without branches, its states inputs and outputs.
        signal: The input that is no state.
        given: The output that feeds each state input, as the caller says; None: find them.
        others: The inputs of the file after its first, in its own form: a step may read one that stays the same.

    Returns:
        Why a part of the file that carries states is no cell; None if there is no such part.
    """
    before = onnx.ModelProto()
    before.CopyFrom(model)
    refusal = _written(model, signal, given, others)
    if not needs_split_opset(model):
        return refusal
    model.CopyFrom(modernize(before, SPLIT_OPSET))
    return _written(model, signal, given, others)


def _written(model: onnx.ModelProto, signal: str, given: Mapping[str, str] | None, others: Sequence[str]) -> str | None:
    refusal = _write_loops(model, signal)
    sized, dims = _sized(model, signal)
    for pairs in islice(_pairings(model, signal, given), _MOST_PAIRINGS):
        try:
            found = _cells(sized, dims, pairs)
        except UnsupportedError as error:
            refusal = refusal or f"{error}{_settable(str(error), [name for name in others if name not in pairs])}"
            continue
        for cell, call in found:
            mark_steps(model, cell, [call], dims)
        _write(model)
        return None
    return refusal


def _write_loops(model: onnx.ModelProto, signal: str) -> str | None:
    """Replace loops over a fixed number of frames that were unrolled; return why one of them is no cell.

    Raises:
        UnsupportedError: The loop does more than its cells, and that not for each frame by itself.
    """
    refusal = mark_loops(model, signal, _free(model, signal))
    roll_loops(model)
    forget_markers(model)
    fold_constants(model)
    return refusal


def _settable(refusal: str, others: Sequence[str]) -> str:
    """Return the way out for an input that a refused step reads, as text for messages; or ''."""
    read = (name for name in others if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", refusal))
    name = next(read, None)
    return "" if name is None else f"; if {name!r} stays the same, set it (--set {name}=VALUE)"


def _free(model: onnx.ModelProto, signal: str) -> list[int]:
    item = input_named(model, signal)
    return [axis for axis, size in enumerate(shape_of(item)) if not isinstance(size, int)]


def _sized(model: onnx.ModelProto, signal: str) -> tuple[onnx.ModelProto, dict[str, Dims]]:
    """Return the model for one stream, and the shapes of its values; an axis of streams of any number has a name."""
    free = _free(model, signal) or [-1]
    sized, dims = sized_model(model, signal, dict.fromkeys(free, 1))
    fold_constants(sized)
    other = sized_model(model, signal, dict.fromkeys(free, 2))[1]
    return sized, name_streams(dims, other)


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
    shapes = for_one_stream(dims)
    for states in groups(graph, carried_values(sized, shapes, pairs)):
        signals = find_signals(graph, states)
        if unknown := [name for name in (*signals, *states) if name not in shapes]:
            raise UnsupportedError(
                f"the step of state {', '.join(states)} reads {unknown[0]!r}, whose shape is not known"
            )
        own = {name: shapes[name] for name in (*signals, *states)}
        cell = recognize(graph, own, states)
        found.append((cell, Call(signals, cell.states, [states[name] for name in cell.states])))
    return found


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
