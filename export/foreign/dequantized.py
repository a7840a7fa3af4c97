"""Files that onnxruntime quantized: their integer operators are replaced by float ones that keep the weights' codes.

`quantize_dynamic` rounds activations to 8 bits with one scale per run, over chunk and batch. So its answers depend on
how a stream is cut. Here the codes of the weights stay, followed by a `DequantizeLinear`, and each backend chooses its
own arithmetic for activations.
"""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import label
from ..graph.editing import remove_dead, set_nodes, unused, value_names
from ..graph.recurrent_nodes import MOVES, operand

LARGEST = 127  # magnitude of a weight's code
INTEGER_OPERATORS = frozenset(
    (
        *("ConvInteger", "DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulInteger"),
        *("MatMulIntegerToFloat", "QLinearConv", "QLinearMatMul", "QuantizeLinear"),
    )
)
_FLOAT_OF = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}
_W, _R, _SCALES = 1, 2, 8  # inputs of DynamicQuantizeLSTM; each scale is followed by its zero point

Replacement = list[onnx.NodeProto] | None


def replace_integers(model: onnx.ModelProto) -> list[str]:
    """Replace the integer operators of `quantize_dynamic` by float operators, in place.

    Returns:
        The labels of the replaced nodes.

    Raises:
        UnsupportedError: An integer operator cannot be replaced, or its weights or scales are not constant.
    """
    replaced: list[str] = []
    makers: dict[str, Callable[[onnx.ModelProto, Graph, onnx.NodeProto], Replacement]] = {
        "DynamicQuantizeLSTM": _lstm,
        "MatMulInteger": _product,
        "ConvInteger": _product,
        "DequantizeLinear": _table,
    }
    for name, make in makers.items():
        for node in [node for node in model.graph.node if node.op_type == name]:
            made = make(model, Graph(model), node)
            if made is not None:
                replaced.append(label(node))
                _put(model, made)
    if replaced:
        remove_dead(model)
    for node in model.graph.node:
        if node.op_type in INTEGER_OPERATORS:
            raise UnsupportedError(
                f"{label(node)}: it turns activations into integers, wanted float operators, or those of "
                "onnxruntime's quantize_dynamic for LSTM, MatMul, Conv and Gather; lift the float file and "
                "quantize it with `tidegate quantize`"
            )
    _forget_unused_domains(model)
    return replaced


def _lstm(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto) -> Replacement:
    """Return the standard LSTM; the integer one stores W and R transposed, [directions, inputs, output channels]."""
    weights = []
    for position, letter in ((_W, "W"), (_R, "R")):
        scale = _SCALES + 2 * (position - _W)
        codes, scales, zeros = (_constant(graph, node, at) for at in (position, scale, scale + 1))
        if len(codes) != 1:
            raise UnsupportedError(f"{label(node)}: {len(codes)} directions, wanted one; quantize the float file")
        name = f"{_place(node)}.{letter}"
        weights.append(_weight(model, name, np.swapaxes(codes, 1, 2), scales.ravel(), zeros.ravel(), axis=1))
    inputs = [node.input[0], *weights, *node.input[3:8]]
    made = helper.make_node("LSTM", inputs, node.output, node.name)
    made.attribute.extend(node.attribute)
    return [made]


def _product(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto) -> Replacement:
    """Return the float MatMul or Conv that replaces this integer node, its Cast and its Mul; None if they differ."""
    quantizer = graph.producer(node.input[0])
    cast = _only_reader(graph, node.output[0], "Cast")
    scaled = None if cast is None else _only_reader(graph, cast.output[0], "Mul")
    if quantizer is None or quantizer.op_type != "DynamicQuantizeLinear" or cast is None or scaled is None:
        return None
    product = graph.producer(next(name for name in scaled.input if name != cast.output[0]))
    if product is None or product.op_type != "Mul" or quantizer.output[1] not in product.input:
        return None
    scales = graph.constant(next(name for name in product.input if name != quantizer.output[1]))
    codes = _constant(graph, node, 1)
    zeros = _constant(graph, node, 3) if operand(node, 3) else np.zeros(1, np.int8)
    if scales is None:
        return None
    axis = 0 if node.op_type == "ConvInteger" else codes.ndim - 1
    weight = _weight(
        model, f"{scaled.name or scaled.output[0]}.weight", codes, scales.ravel(), zeros.ravel(), axis=axis
    )
    made = helper.make_node(_FLOAT_OF[node.op_type], [quantizer.input[0], weight], scaled.output, node.name)
    made.attribute.extend(node.attribute)
    return [made]


def _table(model: onnx.ModelProto, graph: Graph, node: onnx.NodeProto) -> Replacement:
    """Let a Gather look up floats instead of codes; the DequantizeLinear after it becomes an Identity."""
    gather = graph.producer(node.input[0])
    while gather is not None and gather.op_type in MOVES and gather.op_type != "Gather":
        gather = graph.producer(gather.input[0])
    codes = graph.constant(gather.input[0]) if gather is not None and gather.op_type == "Gather" else None
    if gather is None or codes is None:
        return None
    scales = _constant(graph, node, 1)
    zeros = _constant(graph, node, 2) if operand(node, 2) else np.zeros(1, np.int8)
    if scales.size != 1:
        raise UnsupportedError(f"{label(node)}: {scales.size} scales of a lookup table, wanted one for the whole table")
    gather.input[0] = _weight(model, f"{_place(gather)}.table", codes, scales.ravel(), zeros.ravel())
    return [helper.make_node("Identity", [node.input[0]], node.output, node.name)]


def _weight(model: onnx.ModelProto, name: str, codes: Array, scales: Array, zeros: Array, *, axis: int = 0) -> str:
    """Add a weight to the model and return its name: codes and scales, or floats if a centred code is beyond 8 bits.

    Args:
        model: The model.
        name: The wanted name.
        codes: The stored integers.
        scales: One for the whole weight, or one per entry along `axis`.
        zeros: Zero points, like `scales`.
        axis: The axis of the scales.
    """
    name = unused(name, value_names(model))
    shape = [1] * codes.ndim
    if scales.size > 1:
        shape[axis] = scales.size
    centred = codes.astype(np.int32) - zeros.astype(np.int32).reshape(shape if zeros.size > 1 else [1] * codes.ndim)
    if np.any(np.abs(centred) > LARGEST):
        floats = (centred.astype(np.float32) * scales.reshape(shape)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(floats, name))
        return name
    stored = scales if scales.size > 1 else scales.reshape(())
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(centred, np.int8), f"{name}.int8"))
    model.graph.initializer.append(numpy_helper.from_array(stored.astype(np.float32), f"{name}.scale"))
    inputs = [f"{name}.int8", f"{name}.scale"]
    node = helper.make_node("DequantizeLinear", inputs, [name], f"{name}.dequantize", axis=axis)
    model.graph.node.insert(0, node)
    return name


def _place(node: onnx.NodeProto) -> str:
    """Return the prefix for the names of a node's weights, e.g. `rnn.LSTM_1`."""
    name: str = node.name or node.output[0]
    return name.strip("/").replace("/", ".")


def _constant(graph: Graph, node: onnx.NodeProto, position: int) -> Array:
    values = graph.constant(operand(node, position))
    if values is None:
        name = operand(node, position)
        raise UnsupportedError(f"{label(node)}: {name!r} is not constant, wanted constant weights, scales, zero points")
    return values


def _only_reader(graph: Graph, name: str, operator: str) -> onnx.NodeProto | None:
    readers = graph.consumers(name)
    return readers[0] if len(readers) == 1 and readers[0].op_type == operator else None


def _put(model: onnx.ModelProto, made: list[onnx.NodeProto]) -> None:
    """Put nodes in the place of the node that has the same outputs as the last of them."""
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += made if list(node.output) == list(made[-1].output) else [node]
    set_nodes(model, nodes)


def _forget_unused_domains(model: onnx.ModelProto) -> None:
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
