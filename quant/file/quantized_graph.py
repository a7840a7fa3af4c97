"""A quantized graph: codes take the place of weights, biases are corrected, and the metadata describes it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import version_converter

from ...runtime.errors import QuantizationError
from ...runtime.graph.graph import Graph
from ...runtime.lowering.lower import QUANTIZATION_KEY, QUANTIZATION_VERSION
from ...runtime.operators.matrix import FLOAT, GROUP_SIZES
from ..rounding.budget import bytes_of
from ..rounding.choice import Choice, Correction, all_nearest
from ..rounding.nearest import Rounded, to_nearest
from ..rounding.precision import Precision
from .biases import add_to_bias
from .weights import Weight, replace_weight

BLOCKS_OPSET, BLOCKS_IR = 21, 10  # the first whose DequantizeLinear takes int4, int16 and groups ("blocks")
LONGEST_RANGE = np.float32(1e-5 / 3)  # 21 digits in the metadata


def with_codes(graph: Graph, weights: Sequence[Weight], choice: Choice) -> tuple[Graph, dict[str, Rounded]]:
    """Return the graph with codes in place of weights, and the codes by the weights' names.

    Args:
        graph: The float graph. It is not changed.
        weights: Its weights.
        choice: The precision of each weight, and the codes and corrections that calibration made.

    Raises:
        QuantizationError: The graph's operator set cannot be converted to one that has the precisions.
    """
    made, graph = _rounded(weights, choice), copied(graph)
    if any(_needs_blocks(one.precision) for one in made.values()):
        graph = _converted(graph)
    for correction in choice.corrections:
        add_to_bias(graph, *correction)
    graph = Graph(graph.model)
    for weight in weights:
        if weight.name in made:
            replace_weight(graph, weight, made[weight.name])
    describe(graph, made)
    return Graph(graph.model), made


def copied(graph: Graph) -> Graph:
    """Return a copy of a graph, to be edited."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return Graph(model)


def describe(graph: Graph, made: Mapping[str, Rounded], ranges: Mapping[str, np.float32] | None = None) -> None:
    """Write the activation bits of each weight into the metadata, and the fixed ranges if there are any."""
    fields: dict[str, object] = {
        "version": QUANTIZATION_VERSION,
        "activation_bits": {name: one.precision.activation_bits for name, one in made.items()},
    }
    if ranges:
        fields["activation_ranges"] = {name: float(ranges[name]) for name in made if name in ranges}
    graph.set_metadata(QUANTIZATION_KEY, json.dumps(fields))


def bytes_of_the_rest(
    graph: Graph,
    weights: Sequence[Weight],
    asked: Mapping[str, Precision],
    corrections: Sequence[Correction] = (),
    *,
    ranges: bool = False,
) -> int:
    """Return the most bytes that a quantized file can have besides codes and scales.

    A file with 16 bits and groups everywhere has the most: longer names, more axes, a later operator set.

    Args:
        graph: The float graph. It is not changed.
        weights: Its weights.
        asked: The precision asked for, by name. Weights that were asked to stay float stay float.
        corrections: Corrections of biases that the file may have. A layer without biases gains some.
        ranges: Whether the metadata has fixed ranges of activations.
    """
    longest = {w.name: _longest(w, asked[w.name]) for w in weights}
    written, made = with_codes(graph, weights, replace(all_nearest(longest), corrections=list(corrections)))
    if ranges:
        describe(written, made, dict.fromkeys(made, LONGEST_RANGE))
    return written.model.ByteSize() - sum(bytes_of(one.codes.shape, one.precision) for one in made.values())


def _longest(weight: Weight, asked: Precision) -> Precision:
    """Return the precision that takes the most bytes to describe, or float32 if the weight stays float."""
    if weight.reason or asked.weight_bits == FLOAT:
        return asked
    grouped = weight.groupable and weight.shape[1] > GROUP_SIZES[0]
    return Precision(16, 16, GROUP_SIZES[0] if grouped else 0)


def _rounded(weights: Iterable[Weight], choice: Choice) -> dict[str, Rounded]:
    """Return the codes of each weight that becomes integers: those that calibration made, else the nearest."""
    chosen = [(w, choice.precisions[w.name]) for w in weights if not w.reason]
    return {
        weight.name: choice.codes.get(weight.name) or to_nearest(weight.by_channel(), precision)
        for weight, precision in chosen
        if precision.weight_bits != FLOAT
    }


def _needs_blocks(precision: Precision) -> bool:
    """Return whether DequantizeLinear takes codes of this precision only since operator set 21."""
    return precision.weight_bits in (4, 16) or (precision.weight_bits == 8 and precision.group > 0)


def _converted(graph: Graph) -> Graph:
    """Return a graph whose operator set has int4, int16 and groups."""
    model = graph.model
    if graph.opset() < BLOCKS_OPSET:
        try:
            model = version_converter.convert_version(model, BLOCKS_OPSET)
        except (RuntimeError, version_converter.ConvertError) as error:
            raise QuantizationError(
                f"the file's operator set {graph.opset()} cannot be converted to {BLOCKS_OPSET}, which int4, int16 "
                f"and groups need ({error}); export it with {BLOCKS_OPSET}, or choose W8A16 or W8A8"
            ) from None
    model.ir_version = max(model.ir_version, BLOCKS_IR)
    return Graph(model)
