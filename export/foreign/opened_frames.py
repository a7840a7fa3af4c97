"""Files with caches whose sizes are all fixed: the axis of frames becomes free.

A file for one frame per run has `[1, 257, 1, 2]`, and its Reshapes say 1 where a whole signal has its length. Which of
these is the length is told by row-major order: a Reshape keeps what comes before an axis before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, set_dims, shape_of, sized_model
from ..graph.editing import add_constant, input_named
from ..graph.recurrent_nodes import operand, signal_of
from ..states.caches import Cache, put_zeros
from ..states.routes import Source

_FRAMES = 1009  # a prime: no size of a file is likely to be it


@dataclass(frozen=True)
class Place:
    """Where frames are in the axes of a value.

    Attributes:
        axis: The axis.
        before: The product of the sizes that are folded into this axis before the frames; 1: none.
    """

    axis: int
    before: int = 1


def open_frames(model: onnx.ModelProto, source: str, parts: Sequence[Source | Cache]) -> None:
    """Give the axis of frames of a signal of fixed sizes a free size, and let the Reshapes follow it, in place.

    Args:
        model: A model. It stays as it is if it has neither caches nor bands in its batch, or if no axis counts frames.
        source: Its signal input.
        parts: The states and caches that start from its inputs.
    """
    declared = shape_of(input_named(model, source))
    several = any(isinstance(part, Cache) or part.rows > 1 for part in parts)
    if not several or not all(isinstance(size, int) for size in declared):
        return
    for axis in sorted(range(len(declared)), key=lambda axis: (declared[axis] != 1, axis)):
        opened = onnx.ModelProto()
        opened.CopyFrom(model)
        put_zeros(opened, [part for part in parts if isinstance(part, Cache)])
        targets, shapes = _followed(opened, source, axis)
        if all(_along(part, shapes) for part in parts):
            _write(model, targets)
            set_dims(input_named(model, source), (*declared[:axis], "frames", *declared[axis + 1 :]))
            return


def _along(part: Source | Cache, shapes: Mapping[str, Dims]) -> bool:
    """Return whether a state or a cache is carried along the open axis."""
    name, axis = (part.signal, part.axis) if isinstance(part, Cache) else (signal_of(part.node), 0)
    dims = shapes.get(name, ())
    return axis < len(dims) and dims[axis] == _FRAMES


def _followed(model: onnx.ModelProto, source: str, axis: int) -> tuple[dict[str, list[int]], dict[str, Dims]]:
    """Let each Reshape follow the frames, in place; return the new targets, and the shapes of all values then."""
    own = shape_of(input_named(model, source))[axis]
    folded: dict[int, int] = {}  # sizes that frames are folded into, each with what comes before the frames there
    shapes = sized_model(model, source, {axis: _FRAMES})[1]
    targets: dict[str, list[int]] = {}
    for name in [node.output[0] for node in model.graph.node if node.op_type == "Reshape"]:
        graph = Graph(model)
        node = graph.producer(name)
        stated = None if node is None else graph.constant(operand(node, 1))
        before = [size for size in shapes.get(node.input[0] if node else "", ()) if isinstance(size, int)]
        at, after = _holder(before), shapes.get(name, ())
        if at is None or not isinstance(own, int):
            continue
        if stated is None:
            if (place := _holder(after)) is not None:
                targets[name] = _target(before, after, place)
            continue
        lead = folded.get(before[at], 1)
        first = [*before[:at], *(size for size in (lead,) if size > 1)]
        rest = before[at] // _FRAMES // lead
        factors = [*first, own, *(size for size in (rest,) if size > 1), *before[at + 1 :]]
        target = resolved(stated.tolist(), factors)
        found = placed(factors, len(first), target)
        if found is not None:
            folded[target[found.axis] // own * _FRAMES] = found.before
            targets[name] = _target(before, target, found.axis)
            _write(model, {name: targets[name]})
            shapes = sized_model(model, source, {axis: _FRAMES})[1]
    return targets, shapes


def _holder(dims: Sequence[int | str | None]) -> int | None:
    """Return the only axis that holds the frames of a shape; None if there is none, or a size is not known."""
    found = [i for i, size in enumerate(dims) if isinstance(size, int) and size and size % _FRAMES == 0]
    return found[0] if len(found) == 1 and all(isinstance(size, int) for size in dims) else None


def _target(before: Sequence[int], after: Sequence[int | str | None], place: int) -> list[int]:
    """Return the target of a Reshape whose frames are at a place: it keeps the first sizes, such as that of streams."""
    kept = [*(one == other for one, other in zip(before, after, strict=False)), False].index(False)
    sizes = [0 if i < kept else size for i, size in enumerate(after)]
    return [-1 if i == place else size for i, size in enumerate(sizes) if isinstance(size, int)]


def resolved(target: Sequence[int], factors: Sequence[int]) -> list[int]:
    """Return a target in which -1 is a size."""
    known = prod(size for size in target if size > 0)
    return [prod(factors) // known if size == -1 and known else size for size in target]


def placed(factors: Sequence[int], at: int, target: Sequence[int]) -> Place | None:
    """Return where the frames are after a Reshape; None if it is not known.

    Args:
        factors: The sizes before, with the frames apart.
        at: The place of the frames among them.
        target: The sizes afterwards.
    """
    lead, frames = prod(factors[:at]), factors[at]
    starts = [prod(target[:i]) for i in range(len(target) + 1)]
    alone = [i for i, size in enumerate(target) if starts[i] == lead and size == frames]
    if alone:
        return Place(_same_turn(factors, at, alone))
    holds = [i for i in range(len(target)) if starts[i] <= lead and starts[i + 1] >= lead * frames]
    return Place(holds[0], lead // starts[holds[0]]) if holds and prod(target) == prod(factors) else None


def _same_turn(factors: Sequence[int], at: int, places: Sequence[int]) -> int:
    """Return one of adjacent places of size 1: the frames come after streams, where both are 1."""
    lead = prod(factors[:at])
    ones = [i for i in range(len(factors)) if prod(factors[:i]) == lead and factors[i] == 1]
    turn = ones.index(at) if at in ones else 0
    return places[turn] if len(places) == len(ones) else places[-1 if at == max(ones, default=at) else 0]


def _write(model: onnx.ModelProto, targets: Mapping[str, Sequence[int]]) -> None:
    """Give Reshapes other targets, in place."""
    for node in model.graph.node:
        if node.output[0] in targets:
            node.input[1] = add_constant(model, f"{node.output[0]}/frames", np.array(targets[node.output[0]], np.int64))
