"""Quantizing a file: weights become codes and scales, through DequantizeLinear.

The file stays plain ONNX with standard operators: any runtime computes the weight-only result, and
tidegate's engine reads the codes as they are.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter

from ..runtime.arrays import Array
from ..runtime.errors import ModelError, QuantizationError, UnsupportedError
from ..runtime.files import write_atomic
from ..runtime.graph import Graph
from ..runtime.lower import QUANTIZATION_KEY, QUANTIZATION_VERSION
from ..runtime.model import Model, compile_graph
from ..runtime.operators.matrix import FLOAT
from ..runtime.precision import Precision
from ..runtime.projection import with_weights
from .choice import DEFAULT, choose
from .report import QuantizationReport, WeightRow
from .rounding import relative_error, rounded
from .weights import RECURRENT, Weight, replace_weight, weights_of

SMALLEST_OPSET = 13  # DequantizeLinear by axis
BLOCKS_OPSET, BLOCKS_IR = 21, 10  # DequantizeLinear of int4, of int16, in blocks


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    precision: str | Mapping[str, str] = DEFAULT,
) -> QuantizationReport:
    """Quantize the weight matrices of a streaming ONNX file.

    Every recurrent, linear and convolution weight and every embedding table becomes integers with one float32 scale
    a row (for an LSTM: a gate row; for a table: an id) or a group of inputs. The written file is loaded and run
    before it is moved to its place.

    Args:
        source: A float file made by `export_model`.
        target: The file to write.
        precision: Bits of weights and most bits of activations on tidegate's engine (other runtimes compute the
            weight-only result): W8A16, W8A8, W4A16, W4A8, W16A16 or W16A8, with g8 or g32 behind it one scale a
            group of 8 or 32 inputs; float32 leaves weights as they are. Or a mapping from patterns of weight names
            to such precisions, e.g. `{"*": "W4A8g32", "head.*": "W16A16"}`: of the patterns that match the last
            counts, `*` stands for the rest.

    Returns:
        The coverage: each weight with its shape, precision and error.

    Raises:
        ModelError: The source is not a streaming ONNX file, or has no recurrent node.
        QuantizationError: A precision, a pattern or a weight cannot be used; no file is written.
        FileNotFoundError: There is no such file.
    """
    graph = Graph.load(source)
    _check_source(graph, source)
    weights = weights_of(graph)
    chosen = choose(precision, weights)
    if any(_needs_blocks(chosen[weight.name]) for weight in weights if not weight.reason):
        graph = _converted(graph, source)
    rows = [_quantized(graph, weight, chosen[weight.name]) for weight in weights]
    graph.set_metadata(QUANTIZATION_KEY, _metadata(rows))
    quantized = Graph(graph.model)
    backend = _try_out(quantized)
    data = quantized.model.SerializeToString()
    write_atomic(target, data)
    return QuantizationReport(os.fspath(target), Path(source).stat().st_size, len(data), tuple(rows), backend)


def _check_source(graph: Graph, source: str | os.PathLike[str]) -> None:
    if not any((with_weights(node) or node).op_type in RECURRENT for node in graph.nodes):
        seen = ", ".join(sorted({node.op_type for node in graph.nodes})[:8])
        raise ModelError(f"{source}: no recurrent node (LSTM, GRU, RNN) in the graph, only {seen}")
    if graph.metadata(QUANTIZATION_KEY) is not None:
        raise QuantizationError(f"{source}: already quantized; start from the float file")
    if graph.opset() < SMALLEST_OPSET:
        raise QuantizationError(f"{source}: operator set {graph.opset()}, wanted {SMALLEST_OPSET} or later")
    graph.contract  # noqa: B018  raises when there is none


def _needs_blocks(precision: Precision) -> bool:
    """Return whether DequantizeLinear takes such weights only since operator set 21."""
    return precision.weight_bits in (4, 16) or (precision.weight_bits == 8 and precision.group > 0)


def _converted(graph: Graph, source: str | os.PathLike[str]) -> Graph:
    """Return a graph of an operator set that has what the precisions need."""
    model = graph.model
    if graph.opset() < BLOCKS_OPSET:
        try:
            model = version_converter.convert_version(model, BLOCKS_OPSET)
        except (RuntimeError, version_converter.ConvertError) as error:
            raise QuantizationError(
                f"{source}: operator set {graph.opset()} cannot be converted to {BLOCKS_OPSET}, which int4, int16 and "
                f"groups need ({error}); export it with {BLOCKS_OPSET}, or choose W8A16 or W8A8"
            ) from None
    model.ir_version = max(model.ir_version, BLOCKS_IR)
    return Graph(model)


def _quantized(graph: Graph, weight: Weight, precision: Precision) -> WeightRow:
    """Quantize a weight and return what became of it."""
    about, bits, group = (weight.name, weight.operator, weight.recurrent), precision.weight_bits, precision.group
    if weight.reason or bits == FLOAT:
        return WeightRow(*about, weight.shape, FLOAT, 0, 0, 0.0, weight.reason if bits != FLOAT else "")
    values = weight.by_row()
    codes, scales = rounded(values, bits, group)
    replace_weight(graph, weight, precision, codes, scales)
    error = relative_error(values, codes, scales, group)
    return WeightRow(*about, weight.shape, bits, group, precision.activation_bits, error)


def _metadata(rows: Iterable[WeightRow]) -> str:
    bits = {row.name: row.activation_bits for row in rows if row.bits != FLOAT}
    return json.dumps({"version": QUANTIZATION_VERSION, "activation_bits": bits})


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
