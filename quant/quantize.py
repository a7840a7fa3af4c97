"""Quantizing a file: weights become codes and scales, through DequantizeLinear.

The file stays plain ONNX with standard operators: any runtime computes the weight-only result, and
tidegate's engine reads the codes as they are.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
from onnx import version_converter

from ..runtime.arrays import Array
from ..runtime.cells import BY_NAME, STANDARD
from ..runtime.clocks import Clock
from ..runtime.errors import ModelError, QuantizationError, UnsupportedError
from ..runtime.files import write_atomic
from ..runtime.graph.graph import Graph
from ..runtime.graph.projected_lstm import with_weights
from ..runtime.load import compile_graph
from ..runtime.lowering.lower import QUANTIZATION_KEY, QUANTIZATION_VERSION, lower
from ..runtime.operators.matrix import FLOAT
from ..runtime.precision import Precision
from ..runtime.streams import Model
from .calibration import NEAREST, Budget, Calibrated, Calibration, Progress
from .file.biases import add_to_bias
from .file.weight_precisions import DEFAULT, choose, pinned
from .file.weights import Weight, replace_weight, weights_of
from .integer.metadata import with_integers
from .observing.calibration_streams import read_streams
from .observing.drift import drift_of
from .observing.observation import every_frame
from .report.quantization_report import CalibrationReport, QuantizationReport, WeightRow
from .report.weight_rows import float_row, row_of
from .rounding.nearest import rounded
from .rounding.rounded_program import Rounded

FLOATS, INTEGERS = "float", "integer"  # arithmetic
SMALLEST_OPSET = 13  # DequantizeLinear by axis
BLOCKS_OPSET, BLOCKS_IR = 21, 10  # DequantizeLinear of int4, of int16, in blocks
SLACK = 40  # bytes by which what describes a weight's codes differs between precisions, at most


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    precision: str | Mapping[str, str] = DEFAULT,
    calibration: Iterable[Array] | None = None,
    method: str | None = None,
    ranges: str | None = None,
    extra: float = Budget.extra,
    max_bytes: int | None = None,
    max_error: float | None = None,
    arithmetic: str = FLOATS,
    progress: Progress | None = None,
) -> QuantizationReport:
    """Quantize the weight matrices of a streaming ONNX file.

    Every recurrent, linear and convolution weight and every embedding table becomes integers with one float32 scale
    a row (for an LSTM: a gate row; for a table: an id) or a group of inputs. The written file is loaded and run
    before it is moved to its place.

    With calibration streams weights are rounded so that their errors make up for each other on what the model hears,
    the mean of what is left goes into the biases, and precisions are raised where a few bytes help most: see
    docs/quantization.md.

    Args:
        source: A float file made by `export_model`.
        target: The file to write.
        precision: Bits of weights and most bits of activations on tidegate's engine (other runtimes compute the
            weight-only result): W8A16, W8A8, W4A16, W4A8, W16A16 or W16A8, with g8 or g32 behind it one scale a
            group of 8 or 32 inputs; float32 leaves weights as they are. Or a mapping from patterns of weight names
            to such precisions, e.g. `{"*": "W4A8g32", "head.*": "W16A16"}`: of the patterns that match the last
            counts, `*` stands for the rest.
        calibration: Streams of what the model will hear, each float32 `[frames, features]`, or integers `[frames]`
            for a model that reads ids; each from the zero state. A part is held out and gives the error reported.
        method: `nearest`, `compensated` (second-order) or `guided` (by the output's gradient); None: with
            calibration the one with the least error on what is held out, without it nearest.
        ranges: How the ranges of activations are fixed, with calibration: `minmax`, `percentile` (99.99 %), `mse` or
            `entropy`, as static int8 has them; what lies outside saturates. None: each frame is scaled by its own
            largest magnitude, which errs less.
        extra: Part of the weights' bytes that may be spent, with calibration, beyond the precisions asked for; 0:
            none. A weight whose precision a pattern of its own gives stays at it.
        max_bytes: Most bytes of the file: the best precisions within it, lower or higher than those asked for.
        max_error: Most error of the output on what is held out, relative root mean square: the smallest file that
            meets it.
        arithmetic: `float`, or `integer`: on tidegate's engine layers whose weights are int8, one scale a row, compute
            with integers alone (int16 activations and states, gates in fixed point), by scales that calibration
            streams give; no precision is raised. The report names what computes in floats all the same.
        progress: Is told of the share done.

    Returns:
        Each weight with its shape, precision and error, and what calibration found.

    Raises:
        ModelError: The source is not a streaming ONNX file, or has no recurrent node.
        UnsupportedError: Calibration was asked for and the engine does not run the model, or it looks ahead.
        QuantizationError: A precision, a pattern, a weight or a stream cannot be used, or no precisions meet what
            was asked for; no file is written.
        FileNotFoundError: There is no such file.
    """
    started = perf_counter()
    _check_arithmetic(arithmetic, ranges, calibration)
    graph = Graph.load(source)
    _check_source(graph, source)
    weights = weights_of(graph)
    asked = choose(precision, weights)
    calibrating, found = None, None
    if calibration is not None:
        calibrating = _calibration(graph, calibration, method, ranges, progress)
        beside = 0 if max_bytes is None else _beside_weights(graph, source, weights, asked)
        budget = Budget(extra, max_bytes, max_error, beside)
        kept = set(asked) if arithmetic == INTEGERS else pinned(precision, weights)
        found = calibrating.choose(weights, asked, kept, budget)
    elif method not in (None, NEAREST) or any(option is not None for option in (ranges, max_bytes, max_error)):
        raise QuantizationError(
            "method, ranges, max_bytes and max_error need calibration: streams of what the model hears"
        )
    graph, rows = _quantized(graph, source, weights, asked, found)
    readings: dict[str, float] = {}
    if calibrating is not None and ranges is not None:
        program = every_frame(lower(graph))
        readings, most = calibrating.readings(program), calibrating.ranges_of(program)
        rows = [replace(row, range=float(most[row.name])) if row.name in most else row for row in rows]
        graph.set_metadata(QUANTIZATION_KEY, _metadata(rows))
    in_floats: tuple[str, ...] = ()
    if calibrating is not None and arithmetic == INTEGERS:
        graph, in_floats = with_integers(graph, calibrating.exponents())
    data, backend = graph.model.SerializeToString(), _try_out(graph)
    if max_bytes is not None and len(data) > max_bytes:
        raise QuantizationError(f"the file would have {len(data)} bytes, at most {max_bytes} were asked for")
    report = None if calibrating is None or found is None else _judged(calibrating, found, graph, readings, started)
    write_atomic(target, data)
    sizes = Path(source).stat().st_size, len(data)
    return QuantizationReport(os.fspath(target), *sizes, tuple(rows), backend, report, arithmetic, in_floats)


def _check_arithmetic(arithmetic: str, ranges: str | None, calibration: Iterable[Array] | None) -> None:
    if arithmetic not in (FLOATS, INTEGERS):
        raise QuantizationError(f"arithmetic is {arithmetic!r}, wanted {FLOATS} or {INTEGERS}")
    if arithmetic == INTEGERS and calibration is None:
        raise QuantizationError("integer arithmetic needs calibration: streams of what the model hears give its scales")
    if arithmetic == INTEGERS and ranges is not None:
        raise QuantizationError("integer arithmetic has scales of its own, powers of two: leave ranges out")


def _check_source(graph: Graph, source: str | os.PathLike[str]) -> None:
    if not any((with_weights(node) or node).op_type in BY_NAME for node in graph.nodes):
        seen = ", ".join(sorted({node.op_type for node in graph.nodes})[:8])
        raise ModelError(f"{source}: no recurrent node ({', '.join(STANDARD)}) in the graph, only {seen}")
    if graph.metadata(QUANTIZATION_KEY) is not None:
        raise QuantizationError(f"{source}: already quantized; start from the float file")
    if graph.opset() < SMALLEST_OPSET:
        raise QuantizationError(f"{source}: operator set {graph.opset()}, wanted {SMALLEST_OPSET} or later")
    graph.contract  # noqa: B018  raises when there is none


# ---- calibration ----


def _calibration(
    graph: Graph, given: Iterable[Array], method: str | None, ranges: str | None, progress: Progress | None
) -> Calibration:
    try:
        program = lower(graph)
    except UnsupportedError as error:
        raise UnsupportedError(f"calibration runs on the engine, and {error}") from None
    if any(clock != Clock() for clock in program.clocks):
        raise UnsupportedError(
            "the model looks ahead; only causal models are calibrated: quantize it without, to nearest"
        )
    streams = read_streams(given, program)
    return Calibration(program, graph.contract, streams, method=method, ranges=ranges, progress=progress)


def _beside_weights(
    graph: Graph, source: str | os.PathLike[str], weights: Sequence[Weight], asked: Mapping[str, Precision]
) -> int:
    """Return how many bytes of a quantized file are not codes and scales: of one rounded to nearest, and some slack."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    written, rows = _quantized(Graph(model), source, weights, asked, None)
    return written.model.ByteSize() + sum(SLACK - row.bytes for row in rows if row.bits != FLOAT)


def _judged(
    calibrating: Calibration, found: Calibrated, graph: Graph, readings: dict[str, float], started: float
) -> CalibrationReport:
    """Report on the graph as it is written, on what was held out."""
    made = every_frame(lower(graph))
    streams, errors = calibrating.streams, calibrating.held.errors(made)
    drift = drift_of(calibrating.program, made, graph.contract, streams)
    return CalibrationReport(
        len(streams.frames),
        streams.count,
        streams.held_count,
        streams.complete,
        found.method,
        float(np.sqrt(np.mean(np.square(list(errors.values()))))),
        errors,
        found.candidates,
        readings,
        perf_counter() - started,
        drift,
    )


# ---- the file ----


def _quantized(
    graph: Graph,
    source: str | os.PathLike[str],
    weights: Sequence[Weight],
    asked: Mapping[str, Precision],
    found: Calibrated | None,
) -> tuple[Graph, list[WeightRow]]:
    """Return the graph with codes in place of weights, and what became of each."""
    chosen = dict(asked) | (found.precisions if found else {})
    if any(_needs_blocks(chosen[weight.name]) for weight in weights if not weight.reason):
        graph = _converted(graph, source)
    for correction in found.corrections if found else ():
        add_to_bias(graph, *correction)
    graph = Graph(graph.model)
    rows = []
    for weight in weights:
        precision = chosen[weight.name]
        if weight.reason or precision.weight_bits == FLOAT:
            rows.append(float_row(weight, asked[weight.name]))
            continue
        codes = found.codes.get(weight.name) if found else None
        made = codes or Rounded(*rounded(weight.by_row(), precision.weight_bits, precision.group), precision)
        replace_weight(graph, weight, precision, made.codes, made.scales)
        rows.append(row_of(weight, asked[weight.name], made, found if codes else None))
    graph.set_metadata(QUANTIZATION_KEY, _metadata(rows))
    return Graph(graph.model), rows


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


def _metadata(rows: Iterable[WeightRow]) -> str:
    bits = {row.name: row.activation_bits for row in rows if row.bits != FLOAT}
    ranges = {row.name: row.range for row in rows if row.range is not None}
    said = {"activation_ranges": ranges} if ranges else {}
    return json.dumps({"version": QUANTIZATION_VERSION, "activation_bits": bits} | said)


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
    from ..runtime.backends.native import NativeModel
    from ..runtime.backends.onnxruntime import OnnxruntimeModel

    try:
        return NativeModel(compile_graph(graph))
    except UnsupportedError:
        return OnnxruntimeModel(graph)
