"""Pads go down to their convolution: between them some files turn the axes, as tf2onnx writes a Conv1d of Keras."""

import numpy as np
import onnx
from onnx import numpy_helper

from ...runtime.arrays import Array
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes
from ..graph.editing import set_nodes, unused, value_names
from ..graph.recurrent_nodes import operand

MOVERS = ("Transpose", "Unsqueeze", "Squeeze")


def move_pads(model: onnx.ModelProto) -> None:
    """Put each Pad after the Transposes, Unsqueezes and Squeezes between it and a convolution, in place.

    A Pad that anything else reads stays; so does one whose sizes are not constant.
    """
    graph = Graph(model)
    for conv in [node for node in graph.nodes if node.op_type == "Conv"]:
        movers = _movers(graph, conv)
        pad = graph.producer(movers[-1].input[0]) if movers else None
        if pad is None or pad.op_type != "Pad" or operand(pad, 3) or graph.only_reader(pad.output[0]) is None:
            continue
        pads = _moved(graph, graph.constant(operand(pad, 1)), movers[::-1])
        if pads is not None:
            _swap(model, pad, movers, conv, pads)


def _movers(graph: Graph, conv: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return the nodes before a convolution that only turn axes, the last one first."""
    found: list[onnx.NodeProto] = []
    node = graph.producer(conv.input[0])
    while node is not None and node.op_type in MOVERS and graph.only_reader(node.output[0]) is not None:
        found.append(node)
        node = graph.producer(node.input[0])
    return found


def _moved(graph: Graph, pads: Array | None, movers: list[onnx.NodeProto]) -> Array | None:
    """Return the pads after some nodes, `[ends, axes]`; None if they cannot be said."""
    if pads is None:
        return None
    moved: Array = pads.reshape(2, -1)
    for node in movers:
        axes = graph.constant(operand(node, 1))
        if node.op_type == "Transpose":
            order = attributes(node).get("perm")
            moved = moved[:, order if order else slice(None, None, -1)]
        elif axes is None:
            return None
        elif node.op_type == "Unsqueeze":
            rank = moved.shape[1] + axes.size
            kept = np.setdiff1d(np.arange(rank), axes % rank)
            wider = np.zeros((2, rank), moved.dtype)
            wider[:, kept] = moved
            moved = wider
        elif np.any(moved[:, axes]):
            return None
        else:
            moved = np.delete(moved, axes % moved.shape[1], 1)
    return moved


def _swap(
    model: onnx.ModelProto, pad: onnx.NodeProto, movers: list[onnx.NodeProto], conv: onnx.NodeProto, pads: Array
) -> None:
    taken = value_names(model)
    turned, sizes = unused(f"{conv.input[0]}/unpadded", taken), unused(f"{pad.output[0]}/pads", taken)
    model.graph.initializer.append(numpy_helper.from_array(pads.ravel(), sizes))
    movers[-1].input[0] = pad.input[0]
    pad.input[0], pad.input[1] = turned, sizes
    pad.output[0], movers[0].output[0] = conv.input[0], turned
    nodes = [node for node in model.graph.node if node != pad]
    nodes.insert(next(i for i, node in enumerate(nodes) if node == conv), pad)
    copies = [onnx.NodeProto() for _ in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    set_nodes(model, copies)
