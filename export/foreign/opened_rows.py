"""Files with strides over time: several rows of the signal become a frame, also if the file fixes their number."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import onnx

from ...runtime.cells import CELLS
from ...runtime.graph.graph import Graph
from ..graph.axes import Dims, shape_of, sized_model
from ..graph.editing import add_constant, input_named
from ..graph.recurrent_nodes import operand, signal_of
from ..rewrites.frames_of_rows import write_rows
from ..rewrites.rows import STREAMS, Rows, find_rows
from .opened_frames import Place, placed, resolved

_ROWS = 5040  # of a signal in place of those of the example; small strides divide it


def open_rows(model: onnx.ModelProto, bare: onnx.ModelProto, source: str) -> Rows | None:
    """Let a model take frames of several rows, in place, if strides over time come before its recurrent layers.

    Args:
        model: The model.
        bare: A copy whose only input is the signal.
        source: The signal.

    Returns:
        The rows of a frame; None if there are no such strides.

    Raises:
        UnsupportedError: A node reads rows in a way that no stream can follow.
    """
    declared = shape_of(input_named(bare, source))
    kind = input_named(bare, source).type.tensor_type.elem_type
    for free in ((0, axis) for axis in range(1, len(declared)) if kind == onnx.TensorProto.FLOAT):
        for streams in (STREAMS, 1):
            targets = [_targets(bare, source, time, sum(free) - time) for time in free]
            for found in targets:
                opened = onnx.ModelProto()
                opened.CopyFrom(bare)
                _write(opened, found)
                rows = find_rows(opened, source, free, streams)
                if rows is not None:
                    _write(model, found)
                    write_rows(model, source, rows)
                    return _of_length(bare, source, declared[rows.time], rows)
    return None


def _of_length(model: onnx.ModelProto, source: str, length: int | str | None, rows: Rows) -> Rows:
    """Return rows with as many after the last frame as a file of a fixed length has."""
    if not isinstance(length, int):
        return rows
    shapes = sized_model(model, source, {})[1]
    answers = next(shapes.get(signal_of(node), (None,))[0] for node in model.graph.node if node.op_type in CELLS)
    return replace(rows, after=length - answers * rows.count) if isinstance(answers, int) else rows


def _targets(model: onnx.ModelProto, source: str, time: int, batch: int) -> dict[str, list[int]]:
    """Return targets of the Reshapes that hold the number of rows of the example: -1 in its place."""
    declared = shape_of(input_named(model, source))
    if not isinstance(declared[time], int):
        return {}
    opened, targets = onnx.ModelProto(), dict[str, list[int]]()
    opened.CopyFrom(model)
    streams = {} if isinstance(declared[batch], int) else {batch: STREAMS}
    fixed = sized_model(model, source, streams)[1]
    for name in [node.output[0] for node in model.graph.node if node.op_type == "Reshape"]:
        node = Graph(opened).producer(name)
        stated = None if node is None else Graph(opened).constant(operand(node, 1))
        if node is None or stated is None:
            continue
        longer = sized_model(opened, source, streams | {time: _ROWS})[1].get(node.input[0], ())
        found = _target(fixed.get(node.input[0], ()), longer, stated.tolist())
        if found:
            targets[name] = found
            _write(opened, targets)
    return targets


def _target(own: Dims, longer: Dims, stated: Sequence[int]) -> list[int]:
    """Return a target for any number of rows; empty if it is not known.

    Args:
        own: The sizes before, of the file's number of rows.
        longer: The sizes before, of more rows.
        stated: The target.
    """
    at = [axis for axis, (a, b) in enumerate(zip(longer, own, strict=False)) if a != b]
    before = [size for size in own if isinstance(size, int)]
    if len(at) != 1 or len(before) < len(own):
        return []
    sizes = resolved([before[axis] if size == 0 else size for axis, size in enumerate(stated)], before)
    place = placed(before, at[0], sizes) or _split(before, at[0], sizes)
    if place is None:
        return []
    sizes[place.axis] = -1
    return [0 if size == STREAMS and before[axis : axis + 1] == [size] else size for axis, size in enumerate(sizes)]


def _split(before: Sequence[int], at: int, target: Sequence[int]) -> Place | None:
    """Return where the frames are after a Reshape that stacks several rows, `[48, 10]` to `[16, 30]`."""
    starts = [prod(target[:i]) for i in range(len(target))]
    fits = (i for i, size in enumerate(target) if starts[i] == prod(before[:at]) and 1 < size < before[at])
    found = next((i for i in fits if before[at] % target[i] == 0), None)
    return None if found is None else Place(found)


def _write(model: onnx.ModelProto, targets: dict[str, list[int]]) -> None:
    for node in model.graph.node:
        if node.output[0] in targets:
            node.input[1] = add_constant(model, f"{node.output[0]}/opened", np.array(targets[node.output[0]], np.int64))
