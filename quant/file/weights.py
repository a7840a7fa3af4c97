"""The weight matrices of a graph: which there are, how they lie, how codes take their place."""

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
from ...runtime.precision import Precision

CODE_TYPES = {4: onnx.TensorProto.INT4, 8: onnx.TensorProto.INT8, 16: onnx.TensorProto.INT16}


@dataclass(frozen=True, eq=False)
class Weight:
    """A weight matrix of a graph.

    Attributes:
        name: Its name in the file.
        operator: What reads it, as messages say.
        recurrent: Whether that is a recurrent layer.
        rows_axis: The axis along which its rows lie.
        values: Floats of two axes, or for a recurrent layer (directions first) and a convolution (taps last) three;
            none where it cannot be quantized.
        reason: Why it cannot; empty when it can.
        gates: The gates that its rows make in turn, in ONNX's letters; none where there are no gates.
    """

    name: str
    operator: str
    recurrent: bool
    rows_axis: int
    values: Floats
    reason: str
    gates: str = ""

    @property
    def columns_axis(self) -> int:
        """The axis along which the inputs of a row lie; of a convolution all after that of rows."""
        return 2 if self.values.ndim == 3 and self.rows_axis == 1 else 1 - self.rows_axis

    @property
    def blocked(self) -> bool:
        """Whether groups of its inputs can share a scale: not those of a convolution, which lie along two axes."""
        return not (self.values.ndim == 3 and self.rows_axis == 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns; where it cannot be quantized as it lies in the file."""
        return self.values.shape if self.reason else self.by_row().shape

    def by_row(self) -> Floats:
        """Return its values `[rows, columns]`."""
        moved = np.moveaxis(self.values, self.rows_axis, 0)
        return moved.reshape(len(moved), -1)

    def in_place(self, by_row: Array) -> Array:
        """Return something of each row, `[rows, any]`, as it lies in the file."""
        if not self.blocked:
            return by_row.reshape(self.values.shape)
        shape = list(self.values.shape)
        shape[self.columns_axis] = by_row.shape[1]
        del shape[self.rows_axis]
        return np.ascontiguousarray(np.moveaxis(by_row.reshape(len(by_row), *shape), 0, self.rows_axis))


def weights_of(graph: Graph) -> list[Weight]:
    """Return each weight matrix once, though several nodes may read it.

    Raises:
        QuantizationError: One holds NaN or infinity.
    """
    found: dict[str, Weight] = {}
    for node in [with_weights(node) or node for node in graph.nodes]:
        for position, axis in _inputs(graph, node):
            name = node.input[position]
            if name not in found:
                gates = _gates(node) if position < 3 else ""  # the projection of an LSTM has none
                found[name] = _weight(graph, node, name, axis, gates)
    return list(found.values())


def _gates(node: onnx.NodeProto) -> str:
    """Return the letters of the gates of a cell that has several, else nothing."""
    letters = BY_NAME[node.op_type].gates if node.op_type in BY_NAME else ""
    return letters if len(letters) > 1 else ""


def _inputs(graph: Graph, node: onnx.NodeProto) -> list[tuple[int, int]]:
    """Return the inputs of a node that are weight matrices, and the axis of their rows."""
    if node.op_type in BY_NAME:
        return [(1 + place, 1) for place in range(BY_NAME[node.op_type].weights)]
    if node.op_type == "Gemm":
        return [(1, 0 if attributes(node).get("transB", 0) else 1)]
    if node.op_type == "Gather" and _is_table(graph, node):
        return [(0, 0)]
    return {"MatMul": [(1, 1)], "Conv": [(1, 0)]}.get(node.op_type, [])


def _is_table(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a Gather looks ids up in a constant table of floats."""
    table = graph.constant(node.input[0])
    varying = graph.constant(node.input[1]) is None
    by_rows = attributes(node).get("axis", 0) == 0
    return table is not None and varying and table.ndim == 2 and table.dtype.kind == "f" and by_rows


def _weight(graph: Graph, node: onnx.NodeProto, name: str, axis: int, gates: str) -> Weight:
    values, recurrent = graph.constant(name), node.op_type in BY_NAME
    reason = _why_not(values, node)
    if values is None or reason:
        values = np.zeros(() if values is None else values.shape, np.float32)
    elif not np.all(np.isfinite(values)):
        raise QuantizationError(f"{label(node)}: weight {name!r} holds NaN or infinity; train or export it again")
    return Weight(name, label(node), recurrent, axis, values.astype(np.float32), reason, gates)


def _why_not(values: Array | None, node: onnx.NodeProto) -> str:
    """Return why a weight stays float, or nothing."""
    directed = node.op_type in STANDARD
    if values is None:
        return "not a constant of the graph"
    if values.dtype.kind != "f":
        return f"holds {values.dtype}"
    if directed and values.shape[0] != 1:
        return f"{values.shape[0]} directions: only forward layers are quantized"
    return "" if values.ndim == (3 if directed or node.op_type == "Conv" else 2) else f"has {values.ndim} axes"


def replace_weight(graph: Graph, weight: Weight, precision: Precision, codes: Array, scales: Floats) -> None:
    """Let a weight be made from codes by a DequantizeLinear, so that its readers stay as they are.

    Args:
        graph: What to edit; its indices are those of before.
        weight: The weight.
        precision: Its precision: not float32.
        codes: `[rows, columns]`.
        scales: `[rows, groups]`.
    """
    model, name, bits, group = graph.model.graph, weight.name, precision.weight_bits, precision.group
    kept_tensors = [t for t in model.initializer if t.name != name]
    kept_nodes = [n for n in model.node if name not in n.output]
    del model.initializer[:], model.node[:]
    inputs = [f"{name}.int{bits}", f"{name}.scale"]
    how: dict[str, Any] = {"axis": weight.columns_axis, "block_size": group} if group else {"axis": weight.rows_axis}
    node = helper.make_node("DequantizeLinear", inputs, [name], name=f"{name}.dequantize", **how)
    stored = numpy_helper.from_array(weight.in_place(scales) if group else scales[:, 0], inputs[1])
    model.initializer.extend([*kept_tensors, _codes(inputs[0], weight.in_place(codes), bits), stored])
    model.node.extend([node, *kept_nodes])


def _codes(name: str, codes: Array, bits: int) -> onnx.TensorProto:
    if bits == 4:  # numpy has no such type: two a byte, the first in the low half
        halves = np.pad(codes.ravel(), (0, codes.size % 2)).astype(np.uint8) & 15
        packed = (halves[::2] | halves[1::2] << 4).tobytes()
        return helper.make_tensor(name, CODE_TYPES[bits], codes.shape, packed, raw=True)
    return numpy_helper.from_array(codes, name)
