"""Files that take one frame per run: their batch becomes time, so that a chunk of any length is one run.

In such a graph the entries of a batch do not depend on each other, except through recurrent layers. So the batch can
hold the frames of one stream, if the recurrent nodes run along it. Some files also want the last samples of the frame
before at the start of each frame. Their callers had to keep these samples; here the samples are a state.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.cells import CELLS
from ...runtime.contract import State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import is_backward, label
from ..graph.axes import Dims, set_dims, shape_of
from ..graph.editing import END, rename, set_nodes, unused, value_names
from ..graph.recurrent_nodes import recurrent_nodes, signal_of, state_sizes
from ..states.recurrent_states import ForeignState

_BETWEEN = [1, 0, 2]  # from X [1, frames, features] to [frames, 1, features]


def batch_holds_frames(model: onnx.ModelProto, dims: dict[str, Dims]) -> bool:
    """Return whether every recurrent node takes one frame, and its batch axis is axis 0 of the input."""
    read = [dims.get(signal_of(node), ()) for node in recurrent_nodes(Graph(model))]
    return bool(read) and all(len(d) == 3 and d[0] == 1 and d[1] == "axis0" for d in read)


def refuse_caches(states: Sequence[ForeignState]) -> None:
    """Refuse the states of a file that takes one frame per run, if they have caches: these need an axis of frames.

    Raises:
        UnsupportedError: They have some.
    """
    for cache in (cache for known in states for cache in known.caches):
        raise UnsupportedError(
            f"state input {cache.name!r} has the frames before {cache.signal!r}, but those of the signal are on no "
            "axis that every convolution and layer runs along, wanted one; write the model with frames on an axis of "
            "the signal, [1, frames, features], with nn.GRU or nn.LSTM in place of cells, and without squeeze or "
            "reshape of that axis"
        )


def run_along_batch(model: onnx.ModelProto) -> None:
    """Let recurrent nodes, which start from zeros, run along their batch as along time, in place.

    Raises:
        UnsupportedError: The cell state of a node is part of an answer, or it runs backward.
    """
    for node in recurrent_nodes(Graph(model)):
        c = _outputs(node)[2]
        if c and Graph(model).consumers(c):
            raise UnsupportedError(
                f"{label(node)}: its final state is part of an answer, wanted only its outputs; the file takes one "
                "frame per run, and the frames of one run have only one final state"
            )
        if is_backward(node):
            raise UnsupportedError(
                f"{label(node)}: direction = 'reverse' in a file that takes one frame per run, wanted 'forward'; write "
                "the model with all frames in one run"
            )
    for name in [node.name for node in recurrent_nodes(Graph(model))]:
        _turn(model, next(node for node in model.graph.node if node.name == name))


def keep_context(model: onnx.ModelProto, source: onnx.ValueInfoProto, samples: int) -> State:
    """Let the graph keep the last samples of each frame and put them before the next frame, in place.

    Args:
        model: A model whose signal is [frames, values].
        source: The signal input, `[frames, samples + new values]`; it becomes `[frames, new values]`.
        samples: How many samples to keep.

    Returns:
        The state: float32 `[1, samples]`, named after the input.

    Raises:
        UnsupportedError: The context is longer than the new values of a frame.
    """
    name, (rows, width) = source.name, shape_of(source)
    if not isinstance(width, int) or width < 2 * samples:
        raise UnsupportedError(
            f"input {name!r}: context {samples} of {width} samples, wanted at most one frame of it: --context "
            f"{width // 2 if isinstance(width, int) else 0} or less"
        )
    joined, state = f"{name}/joined", State(f"{name}.context_in", f"{name}.context_out", "tail", (1, samples))
    rename(model, name, joined)
    source.name = name
    set_dims(source, (rows, width - samples))
    bounds = {"before": (-samples, END, 1), "all_but_last": (0, -1, 0), "last": (-1, END, 0)}
    made = {"before": f"{name}/ends", "all_but_last": f"{name}/before", "last": state.output}
    reads = {"before": name, "all_but_last": f"{name}/kept", "last": f"{name}/kept"}
    nodes = {}
    for key, values in bounds.items():
        limits = [f"{made[key]}.{what}" for what in ("start", "end", "axis")]
        model.graph.initializer.extend(
            numpy_helper.from_array(np.array([value], np.int64), limit)
            for value, limit in zip(values, limits, strict=True)
        )
        nodes[key] = helper.make_node("Slice", [reads[key], *limits], [made[key]], name=f"{made[key]}/Slice")
    keep = helper.make_node("Concat", [state.input, f"{name}/ends"], [f"{name}/kept"], name=f"{name}/kept", axis=0)
    join = helper.make_node("Concat", [f"{name}/before", name], [joined], name=joined, axis=1)
    rest = list(model.graph.node)
    set_nodes(model, [nodes["before"], keep, nodes["all_but_last"], nodes["last"], join, *rest])
    for value, items in ((state.input, model.graph.input), (state.output, model.graph.output)):
        items.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, state.shape))
    return state


def _outputs(node: onnx.NodeProto) -> tuple[str, str, str]:
    """Return the names of Y, of the final h and of the final c; empty names for those that it does not make."""
    y, h, c, *_ = (*node.output, "", "")
    return (c, y, h) if node.op_type == "Scan" else (y, h, c)  # the Scan of an LSTM with projection makes h, c, Y


def _turn(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Let one node run along its batch; the readers of its outputs get the same shapes as before."""
    taken, (y, final, _) = value_names(model), _outputs(node)
    names = {key: unused(f"{node.name}/{key}", taken) for key in ("frames", "Y", "Y_frames", "Y_h", "axis")}
    if node.op_type == "Scan":  # its starts have a name, and are zeros of one stream now
        for slot, size in zip(CELLS[node.op_type].states, state_sizes(Graph(model), node), strict=True):
            zeros = unused(f"{node.name}/{slot.kind}_0", taken)
            model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1, size), np.float32), zeros))
            node.input[slot.input] = zeros
    before = helper.make_node("Transpose", [signal_of(node)], [names["frames"]], names["frames"], perm=_BETWEEN)
    node.input[CELLS[node.op_type].signal] = names["frames"]
    node.output[list(node.output).index(y)] = names["Y"]
    after = []
    if y:  # [1, 1, frames, hidden]
        after.append(helper.make_node("Transpose", [names["Y"]], [y], f"{y}/Transpose", perm=[2, 1, 0, 3]))
    if final:  # [1, frames, hidden]: after one frame, the final h is Y
        node.output[list(node.output).index(final)] = names["Y_h"] if node.op_type == "Scan" else ""
        model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), names["axis"]))
        after.append(
            helper.make_node("Transpose", [names["Y"]], [names["Y_frames"]], names["Y_frames"], perm=[1, 0, 2, 3])
        )
        after.append(helper.make_node("Squeeze", [names["Y_frames"], names["axis"]], [final], f"{final}/Squeeze"))
    nodes = []
    for other in model.graph.node:
        nodes += [before, other, *after] if other.name == node.name else [other]
    set_nodes(model, nodes)
