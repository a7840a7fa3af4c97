"""Quantizing a file: int8 initializers with one scale a gate row, through DequantizeLinear.

The file stays plain ONNX with standard operators: any runtime computes the weight-only result, and
tidegate's engine reads the int8 weights as they are.
"""

import json
import os
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..runtime.arrays import Array, Floats
from ..runtime.errors import ModelError, QuantizationError, UnsupportedError
from ..runtime.files import write_atomic
from ..runtime.graph import Graph, attributes, label
from ..runtime.lower import QUANTIZATION_KEY
from ..runtime.model import Model, compile_graph
from ..runtime.projection import PROJECTED, with_weights
from .report import QuantizationReport, WeightRow
from .rows import quantize_rows, relative_error

RECURRENT = {"LSTM": ("W", "R"), "GRU": ("W", "R"), "RNN": ("W", "R"), PROJECTED: ("W", "R", "P")}
SMALLEST_OPSET = 13  # DequantizeLinear by axis


def quantize(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, activation_bits: int = 16
) -> QuantizationReport:
    """Quantize the weight matrices of a streaming ONNX file to int8.

    Every recurrent, linear and convolution weight and every embedding table becomes int8 with one float32 scale
    a row (for an LSTM: a gate row; for a table: an id). The written file is loaded and run before it is
    moved to its place.

    Args:
        source: A float file made by `export_model`.
        target: The file to write.
        activation_bits: Most bits of activations on tidegate's engine, 16 (default) or 8: stated in the
            file's metadata; other runtimes compute the weight-only result.

    Returns:
        The coverage: each weight with its shape, bits and error.

    Raises:
        ModelError: The source is not a streaming ONNX file, or has no recurrent node.
        QuantizationError: An option or a weight cannot be used; no file is written.
        FileNotFoundError: There is no such file.
    """
    if activation_bits not in (8, 16):
        raise QuantizationError(f"activation_bits is {activation_bits}, wanted 16 or 8")
    graph = Graph.load(source)
    _check_source(graph, source)
    rows = _quantize_nodes(graph)
    graph.set_metadata(QUANTIZATION_KEY, _metadata(rows, activation_bits))
    quantized = Graph(graph.model)
    backend = _try_out(quantized)
    data = quantized.model.SerializeToString()
    write_atomic(target, data)
    size = Path(source).stat().st_size
    return QuantizationReport(os.fspath(target), size, len(data), activation_bits, tuple(rows), backend)


def _check_source(graph: Graph, source: str | os.PathLike[str]) -> None:
    if not any((with_weights(node) or node).op_type in RECURRENT for node in graph.nodes):
        seen = ", ".join(sorted({node.op_type for node in graph.nodes})[:8])
        raise ModelError(f"{source}: no recurrent node (LSTM, GRU, RNN) in the graph, only {seen}")
    if graph.metadata(QUANTIZATION_KEY) is not None:
        raise QuantizationError(f"{source}: already quantized; start from the float file")
    if graph.opset() < SMALLEST_OPSET:
        raise QuantizationError(f"{source}: operator set {graph.opset()}, wanted {SMALLEST_OPSET} or later")
    graph.contract  # noqa: B018  raises when there is none


def _quantize_nodes(graph: Graph) -> list[WeightRow]:
    """Quantize each weight matrix once, though several nodes may read it."""
    rows: dict[str, WeightRow] = {}
    for node in [with_weights(node) or node for node in graph.nodes]:
        for position, axis in _weight_inputs(graph, node):
            name = node.input[position]
            if name not in rows:
                rows[name] = _quantize_weight(graph, node, name, axis)
    return list(rows.values())


def _weight_inputs(graph: Graph, node: onnx.NodeProto) -> list[tuple[int, int]]:
    """Return the inputs of a node that are weight matrices, and the axis of their rows."""
    if node.op_type in RECURRENT:
        return [(1 + i, 1) for i in range(len(RECURRENT[node.op_type]))]
    if node.op_type == "Gemm":
        return [(1, 0 if attributes(node).get("transB", 0) else 1)]
    if node.op_type == "Gather" and _is_table(graph, node):
        return [(0, 0)]
    return {"MatMul": [(1, 1)], "Conv": [(1, 0)]}.get(node.op_type, [])


def _is_table(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a Gather looks ids up in a constant table of floats."""
    table = graph.constant(node.input[0])
    varying = graph.constant(node.input[1]) is None
    return table is not None and varying and table.ndim == 2 and table.dtype.kind == "f" and not _axis(node)


def _axis(node: onnx.NodeProto) -> int:
    return int(attributes(node).get("axis", 0))


def _quantize_weight(graph: Graph, node: onnx.NodeProto, name: str, axis: int) -> WeightRow:
    values = graph.constant(name)
    recurrent = node.op_type in RECURRENT
    reason = _why_not(values, node)
    shape = () if values is None else tuple(int(s) for s in values.shape)
    if values is None or reason:
        return WeightRow(name, label(node), recurrent, shape, 32, 0.0, reason)
    if not np.all(np.isfinite(values)):
        raise QuantizationError(f"{label(node)}: weight {name!r} holds NaN or infinity; train or export it again")
    by_row: Floats = np.moveaxis(values.astype(np.float32), axis, 0).reshape(values.shape[axis], -1)
    codes, scales = quantize_rows(by_row)
    error = relative_error(by_row, codes, scales)
    rest = [s for i, s in enumerate(values.shape) if i != axis]
    in_place = np.moveaxis(codes.reshape(values.shape[axis], *rest), 0, axis)
    _replace_weight(graph, name, np.ascontiguousarray(in_place), scales, axis)
    return WeightRow(name, label(node), recurrent, by_row.shape, 8, error)


def _why_not(values: object, node: onnx.NodeProto) -> str:
    """Return why a weight stays float, or nothing."""
    recurrent = node.op_type in RECURRENT and node.op_type != PROJECTED
    if not isinstance(values, np.ndarray):
        return "not a constant of the graph"
    if values.dtype.kind != "f":
        return f"holds {values.dtype}"
    if recurrent and values.shape[0] != 1:
        return f"{values.shape[0]} directions: only forward layers are quantized"
    axes = 3 if recurrent or node.op_type == "Conv" else 2
    return "" if values.ndim == axes else f"has {values.ndim} axes"


def _replace_weight(graph: Graph, name: str, codes: Array, scales: Floats, axis: int) -> None:
    """Let `name` be made from int8 codes by a DequantizeLinear, so that its readers stay as they are."""
    model = graph.model.graph
    kept_tensors = [t for t in model.initializer if t.name != name]
    kept_nodes = [n for n in model.node if not (n.op_type == "Constant" and n.output[0] == name)]
    del model.initializer[:], model.node[:]
    inputs = [f"{name}.int8", f"{name}.scale"]
    node = helper.make_node("DequantizeLinear", inputs, [name], name=f"{name}.dequantize", axis=axis)
    tensors = [numpy_helper.from_array(a, n) for n, a in zip(inputs, (codes, scales), strict=True)]
    model.initializer.extend([*kept_tensors, *tensors])
    model.node.extend([node, *kept_nodes])


def _metadata(rows: list[WeightRow], activation_bits: int) -> str:
    weights = {row.name: row.bits for row in rows}
    return json.dumps({"version": 1, "activation_bits": activation_bits, "weight_bits": weights})


def _try_out(graph: Graph) -> str:
    """Load the graph and stream noise through it; return what it ran on."""
    model = _open(graph)
    stream = model.stream()
    shape = [d.dim_value for d in graph.model.graph.input[0].type.tensor_type.shape.dim]
    port = model.contract.inputs[0]
    features = [s for a, s in enumerate(shape) if a not in (port.time_axis, port.batch_axis)]
    noise: Array = np.random.default_rng(0).standard_normal((20, *features), np.float32)
    if graph.model.graph.input[0].type.tensor_type.elem_type in (onnx.TensorProto.INT32, onnx.TensorProto.INT64):
        noise = np.zeros(20, np.int64)  # ids: the first row is in every table
    answers = stream.push(noise)
    for name, values in (answers if isinstance(answers, dict) else {port.name: answers}).items():
        if not np.all(np.isfinite(values)):
            raise QuantizationError(
                f"output {name!r} of the quantized model is not finite on noise; nothing is written"
            )
    return model.backend


def _open(graph: Graph) -> Model:
    """Open the graph on the engine, or on onnxruntime where the engine lacks something."""
    from ..runtime.native import NativeModel
    from ..runtime.onnxruntime_backend import OnnxruntimeModel

    try:
        return NativeModel(compile_graph(graph))
    except UnsupportedError:
        return OnnxruntimeModel(graph)
