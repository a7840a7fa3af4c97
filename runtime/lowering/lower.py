"""Lowering: a streaming graph becomes a program of the engine.

An operator or option that the engine does not have is refused, and the message names the node.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from ..arrays import Floats
from ..errors import ModelError, UnsupportedError
from ..graph.graph import Graph
from ..graph.initial_states import initial_states
from ..graph.nodes import attributes
from ..operators import HIDDEN, Linear, Slot
from ..operators.matrix import LARGEST_RANGE, LEAST_RANGE
from ..program import Program
from . import over_features, pointwise, recurrent, select, shapes, spectra
from .answers import answer_of
from .in_frames import in_frames
from .integer import in_integers
from .layers import over_layers
from .trace import ONNXRUNTIME, Handler, Trace, unsupported
from .values import FEATURE, Activations, Signal, Value
from .weights import bias_of, dequantize, matrix_of, weights_of

QUANTIZATION_KEY = "tidegate.quantization"
QUANTIZATION_VERSION = 2


def lower(graph: Graph) -> Program:
    """Lower a graph to a program.

    Args:
        graph: A streaming graph; its matrices are floats, or codes with a `DequantizeLinear`.

    Raises:
        ContractError: The contract is missing or does not fit the graph.
        UnsupportedError: The engine does not have an operator or option; the message names the node.
        ModelError: The graph or its metadata is not valid.
    """
    fields = _quantization(graph)
    activations = _activations(graph, fields.get("activation_bits"), fields.get("activation_ranges", {}))
    try:
        program = Trace(graph, HANDLERS, activations).run(answer_of)
        if not program.ops:
            raise UnsupportedError(f"the file computes nothing: its answers are its inputs; {ONNXRUNTIME}")
        program = replace(program, starts=_starts(graph, program))
        return in_integers(program, _exponents(fields)) if "integer" in fields else program
    except ModelError:
        raise
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the graph is not valid ONNX ({type(error).__name__}: {error}); export it again") from None


def _starts(graph: Graph, program: Program) -> dict[Slot, Floats]:
    """Return the state vectors that a stream does not start from zeros."""
    values = initial_states(graph, graph.contract)
    found = {slot: values[slot.name][slot.index].ravel() for slot in program.slots if slot != HIDDEN}
    return {slot: vector for slot, vector in found.items() if vector.any()}


def _quantization(graph: Graph) -> dict[str, Any]:
    """Return the fields of the quantization metadata."""
    text = graph.metadata(QUANTIZATION_KEY)
    if text is None:
        return {"activation_bits": {}}
    try:
        fields = json.loads(text)
        version = fields["version"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fields, version = None, None
    if not isinstance(fields, dict):
        raise ModelError(f"metadata {QUANTIZATION_KEY} is not readable; quantize the file again")
    if version != QUANTIZATION_VERSION:
        raise ModelError(
            f"metadata {QUANTIZATION_KEY}: version is {version}, this tidegate reads {QUANTIZATION_VERSION}; "
            "quantize the float file again"
        )
    return fields


def _activations(graph: Graph, bits: object, ranges: object) -> dict[str, Activations]:
    """Return how the activations of each weight in the metadata become integers, by the name of the weight."""
    if not isinstance(bits, dict) or any(most not in (8, 16) for most in bits.values()):
        raise ModelError(f"metadata {QUANTIZATION_KEY}: activation_bits must give 8 or 16 by weight; quantize again")
    if not isinstance(ranges, dict) or not all(name in bits and _is_range(most) for name, most in ranges.items()):
        raise ModelError(
            f"metadata {QUANTIZATION_KEY}: activation_ranges must give 2^-40 to 2^40 by weight, only for "
            "weights in activation_bits; quantize again"
        )
    for name in bits:
        if graph.producer(name) is None:
            raise ModelError(f"metadata {QUANTIZATION_KEY}: the graph has no weight {name!r}; quantize the file again")
    return {
        name: Activations(int(most), np.float32(ranges[name]) if name in ranges else None)
        for name, most in bits.items()
    }


def _is_range(value: object) -> bool:
    return isinstance(value, float) and float(LEAST_RANGE) <= value <= float(LARGEST_RANGE)


def _exponents(fields: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the exponents of integer operations by node."""
    given = fields["integer"]
    if not isinstance(given, dict) or not all(isinstance(listed, list) for listed in given.values()):
        raise ModelError(f"metadata {QUANTIZATION_KEY}: integer must give lists by node; quantize the file again")
    return given


# ---- operations ----


def _gemm(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    given = attributes(node)
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA", 0):
        raise unsupported(node, "alpha, beta and transA must be 1, 1 and 0")
    return [_linear(trace, node, rows_axis=0 if given.get("transB", 0) else 1)]


def _matmul(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [_linear(trace, node, rows_axis=1)]


def _linear(trace: Trace, node: onnx.NodeProto, rows_axis: int) -> Signal:
    signal = trace.signal(node)
    if signal.axes[-1] != FEATURE:
        raise unsupported(node, f"its input has axes ({', '.join(signal.axes)}), wanted features last")
    weights = weights_of(trace, node, 1)
    if weights.codes.ndim != 2:
        raise unsupported(node, f"its weight has shape {weights.codes.shape}, wanted two axes")
    width = trace.widths[signal.value]
    matrix = matrix_of(node, weights, rows_axis, width, trace.reading(signal.value))
    bias = bias_of(trace, node, 2, matrix.codes.shape[0])
    return replace(signal, value=trace.emit(spectra.linear(Linear((signal.value,), matrix, bias))))


ONE_LAYER: dict[str, Handler] = {
    **shapes.HANDLERS,
    **select.HANDLERS,
    "DequantizeLinear": dequantize,
    **recurrent.HANDLERS,
    "Gemm": _gemm,
    "MatMul": _matmul,
    **pointwise.HANDLERS,
    **over_features.HANDLERS,
}
HANDLERS: dict[str, Handler] = {name: over_layers(handler) for name, handler in in_frames(ONE_LAYER).items()}
