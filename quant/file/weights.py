"""The weight matrices of a graph: find them, read them as `[channels, inputs]`, and replace them by codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array, Floats
from ...runtime.cells import BY_NAME, STANDARD
from ...runtime.errors import QuantizationError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ...runtime.graph.projected_lstm import with_weights
from ..rounding.nearest import Rounded

CODE_TYPES = {4: onnx.TensorProto.INT4, 8: onnx.TensorProto.INT8, 16: onnx.TensorProto.INT16}


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight matrix of a graph.

    Attributes:
        name: Its name in the file.
        operator: The operator that reads it, as messages name it.
        recurrent: Whether that operator is a recurrent layer.
        channel_axis: The axis of its output channels.
        values: Floats with two axes, or with three for a recurrent layer (directions first), or with three or four for
            a convolution (taps last). Zeros if the weight cannot be quantized.
        reason: Why it cannot be quantized; empty if it can.
        gates: The gates of its output channels in order, in ONNX's letters; empty if the operator has no gates.
    """

    name: str
    operator: str
    recurrent: bool
    channel_axis: int
    values: Floats
    reason: str
    gates: str = ""

    @property
    def input_axis(self) -> int:
        """The axis of the inputs. A convolution has a second one, for the taps, after it."""
        return 2 if self.values.ndim == 3 and self.channel_axis == 1 else 1 - self.channel_axis

    @property
    def groupable(self) -> bool:
        """Whether groups of inputs can share a scale: not in a convolution, whose inputs have two axes or three."""
        return not (self.values.ndim >= 3 and self.channel_axis == 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Output channels and inputs; if it cannot be quantized, its shape in the file."""
        return self.values.shape if self.reason else self.by_channel().shape

    def by_channel(self) -> Floats:
        """Return the values as `[channels, inputs]`."""
        moved = np.moveaxis(self.values, self.channel_axis, 0)
        return moved.reshape(len(moved), -1)

    def in_file_order(self, by_channel: Array) -> Array:
        """Return codes or scales `[channels, any]` with the axes that the weight has in the file."""
        if not self.groupable:
            return by_channel.reshape(self.values.shape)
        shape = list(self.values.shape)
        shape[self.input_axis] = by_channel.shape[1]
        del shape[self.channel_axis]
        return np.ascontiguousarray(np.moveaxis(by_channel.reshape(len(by_channel), *shape), 0, self.channel_axis))


def weights_of(graph: Graph) -> list[Weight]:
    """Return each weight matrix once, even if several nodes read it.

    Raises:
        QuantizationError: A weight holds NaN or infinity, no value, or a part of a gate.
    """
    found: dict[str, Weight] = {}
    for node in [with_weights(node) or node for node in graph.nodes]:
        for position, axis in _weight_inputs(graph, node):
            name = node.input[position]
            if name not in found:
                gates = _gates(node) if position < 3 else ""  # an LSTM's projection has no gates
                found[name] = _weight(graph, node, name, axis, gates)
    return list(found.values())


def _gates(node: onnx.NodeProto) -> str:
    """Return the letters of a cell's gates; empty for a cell without gates, and for other nodes."""
    letters = BY_NAME[node.op_type].gates if node.op_type in BY_NAME else ""
    return letters if len(letters) > 1 else ""


def _weight_inputs(graph: Graph, node: onnx.NodeProto) -> list[tuple[int, int]]:
    """Return the position of each weight among a node's inputs, and the axis of its output channels."""
    if node.op_type in BY_NAME:
        return [(1 + place, 1) for place in range(BY_NAME[node.op_type].weights)]
    if node.op_type == "Gemm":
        return [(1, 0 if attributes(node).get("transB", 0) else 1)]
    if is_table(graph, node):
        return [(0, 0)]
    return {"MatMul": [(1, 1)], "Conv": [(1, 0)]}.get(node.op_type, [])


def is_table(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node is a Gather that looks ids up in a constant table of floats."""
    if node.op_type != "Gather":
        return False
    table = graph.constant(node.input[0])
    varying = graph.constant(node.input[1]) is None
    by_id = attributes(node).get("axis", 0) == 0
    return table is not None and varying and table.ndim == 2 and table.dtype.kind == "f" and by_id


def _weight(graph: Graph, node: onnx.NodeProto, name: str, axis: int, gates: str) -> Weight:
    values, recurrent = graph.constant(name), node.op_type in BY_NAME
    reason = _why_not(values, node)
    if values is None or reason:
        values = np.zeros(() if values is None else values.shape, np.float32)
    elif not np.all(np.isfinite(values)):
        raise QuantizationError(f"{label(node)}: weight {name!r} holds NaN or infinity; train or export it again")
    elif not values.size:
        raise QuantizationError(f"{label(node)}: weight {name!r} has shape {values.shape}, no value; export it again")
    elif gates and values.shape[axis] % len(gates):
        raise QuantizationError(
            f"{label(node)}: weight {name!r} has {values.shape[axis]} output channels, wanted the same number for each "
            f"of its {len(gates)} gates; export it again"
        )
    return Weight(name, label(node), recurrent, axis, values.astype(np.float32), reason, gates)


def _why_not(values: Array | None, node: onnx.NodeProto) -> str:
    """Return why a weight stays float; empty if it can be quantized."""
    directed = node.op_type in STANDARD
    if values is None:
        return "not a constant of the graph"
    if values.dtype.kind != "f":
        return f"holds {values.dtype}"
    if directed and values.shape[0] != 1:
        return f"{values.shape[0]} directions: only forward layers are quantized"
    wanted = (3, 4) if node.op_type == "Conv" else (3,) if directed else (2,)
    return "" if values.ndim in wanted else f"has {values.ndim} axes"


def replace_weight(graph: Graph, weight: Weight, made: Rounded) -> None:
    """Replace a weight by its codes and a DequantizeLinear whose output has the weight's name.

    Args:
        graph: The graph to edit. Its indices are those from before the edit.
        weight: The weight.
        made: Its codes and scales.
    """
    model, name, bits, group = graph.model.graph, weight.name, made.precision.weight_bits, made.precision.group
    kept_tensors = [t for t in model.initializer if t.name != name]
    kept_nodes = [n for n in model.node if name not in n.output]
    del model.initializer[:], model.node[:]
    inputs = [f"{name}.int{bits}", f"{name}.scale"]
    axes: dict[str, Any] = {"axis": weight.input_axis, "block_size": group} if group else {"axis": weight.channel_axis}
    node = helper.make_node("DequantizeLinear", inputs, [name], name=f"{name}.dequantize", **axes)
    stored = numpy_helper.from_array(weight.in_file_order(made.scales) if group else made.scales[:, 0], inputs[1])
    model.initializer.extend([*kept_tensors, _codes(inputs[0], weight.in_file_order(made.codes), bits), stored])
    model.node.extend([node, *kept_nodes])


def _codes(name: str, codes: Array, bits: int) -> onnx.TensorProto:
    if bits == 4:  # NumPy has no 4-bit type: two codes per byte, the first in the low half
        halves = np.pad(codes.ravel(), (0, codes.size % 2)).astype(np.uint8) & 15
        packed = (halves[::2] | halves[1::2] << 4).tobytes()
        return helper.make_tensor(name, CODE_TYPES[bits], codes.shape, packed, raw=True)
    return numpy_helper.from_array(codes, name)
