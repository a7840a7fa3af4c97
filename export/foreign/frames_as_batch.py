"""Files that take one frame a run: their batch becomes time, so that a chunk of any length is one run.

Where each frame passes through the graph as a row of its own and only recurrent layers link one with the next, the
rows may as well be the frames of one stream: the recurrent nodes are turned to run along them. Some files also want
samples of the frame before in front of each; their callers had to keep them, here they are a state.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.contract import State
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ..graph.axes import Dims, set_dims, shape_of
from ..graph.editing import rename, unused, value_names
from ..graph.recurrent_nodes import recurrent_nodes
from ..states.convolution_tails import END

_BETWEEN = [1, 0, 2]  # of X [1, rows, features]: [rows, 1, features]


def batch_holds_frames(model: onnx.ModelProto, dims: dict[str, Dims]) -> bool:
    """Return whether every recurrent node runs over one frame, and along its batch follow the rows of the input."""
    read = [dims.get(node.input[0], ()) for node in recurrent_nodes(Graph(model)) if node.op_type != "Scan"]
    return bool(read) and all(len(d) == 3 and d[0] == 1 and d[1] == "axis0" for d in read)


def run_along_batch(model: onnx.ModelProto) -> None:
    """Turn recurrent nodes, which start from zeros, to take the rows of their batch as frames, in place.

    Raises:
        UnsupportedError: A node gives its cell state to an answer, or is an LSTM with projection.
    """
    for node in recurrent_nodes(Graph(model)):
        if node.op_type == "Scan" or (len(node.output) > 2 and Graph(model).consumers(node.output[2])):
            raise UnsupportedError(
                f"{label(node)}: its final state is part of an answer, wanted its outputs alone; the file takes one "
                "frame a run, and frames of one run have only one final state"
            )
    for name in [node.name for node in recurrent_nodes(Graph(model))]:
        _turn(model, next(node for node in model.graph.node if node.name == name))


def keep_context(model: onnx.ModelProto, source: onnx.ValueInfoProto, samples: int) -> State:
    """Let the graph keep the last samples of each frame and put them in front of the next, in place.

    Args:
        model: A model whose frames are the rows of its signal.
        source: The signal input, `[rows, samples and what is new]`; it becomes `[rows, what is new]`.
        samples: How many.

    Returns:
        The state: `[1, samples]`, named after the input.
    """
    name, (rows, width) = source.name, shape_of(source)
    if not isinstance(width, int) or width < 2 * samples:
        raise UnsupportedError(f"input {name!r}: context {samples} of {width} samples, wanted at most one frame of it")
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
    del model.graph.node[:]
    model.graph.node.extend([nodes["before"], keep, nodes["all_but_last"], nodes["last"], join, *rest])
    for value, items in ((state.input, model.graph.input), (state.output, model.graph.output)):
        items.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, state.shape))
    return state


def _turn(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    """Let one node run along its batch; what reads its answers gets them as before, a row a frame."""
    taken = value_names(model)
    names = {key: unused(f"{node.name}/{key}", taken) for key in ("frames", "Y", "Y_rows", "Y_h", "axis")}
    before = helper.make_node("Transpose", [node.input[0]], [names["frames"]], names["frames"], perm=_BETWEEN)
    node.input[0] = names["frames"]
    y, final, *_ = (*node.output, "", "")
    node.output[0] = names["Y"]
    after = []
    if y:  # [1, 1, rows, hidden]
        after.append(helper.make_node("Transpose", [names["Y"]], [y], f"{y}/Transpose", perm=[2, 1, 0, 3]))
    if final:  # [1, rows, hidden]: of one frame it is the same as Y
        node.output[1] = ""
        model.graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), names["axis"]))
        after.append(helper.make_node("Transpose", [names["Y"]], [names["Y_rows"]], names["Y_rows"], perm=[1, 0, 2, 3]))
        after.append(helper.make_node("Squeeze", [names["Y_rows"], names["axis"]], [final], f"{final}/Squeeze"))
    nodes = []
    for other in model.graph.node:
        nodes += [before, other, *after] if other.name == node.name else [other]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
