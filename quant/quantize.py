"""Quantizing a file: weights become codes and scales, which `DequantizeLinear` turns back into weights.

The file stays plain ONNX with standard operators. Any runtime computes the result with the rounded weights; tidegate's
engine computes with the codes themselves.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from ..runtime.backends.folded_weights import fold_weights
from ..runtime.cells import BY_NAME, STANDARD
from ..runtime.errors import ModelError, QuantizationError, UnsupportedError
from ..runtime.files import refuse_overwriting, write_atomic
from ..runtime.graph.graph import Graph
from ..runtime.graph.projected_lstm import with_weights
from ..runtime.load import naming
from ..runtime.lowering.lower import QUANTIZATION_KEY, lower
from ..runtime.streams import Model
from .answers.comparison import compare
from .answers.trial import model_of, opened, try_out
from .answers.warnings import NOT_COMPARED, too_far
from .answers.ways_out import BOUND, Measure, way_out
from .calibration import METHODS_BY_NAME, Calibration, Progress
from .file.quantized_graph import bytes_of_the_rest, describe, with_codes
from .file.weight_precisions import DEFAULT, choose, pinned
from .file.weights import Weight, weights_of
from .integer.metadata import add_exponents, operators_in_floats
from .observing.calibration_streams import Given, read_streams
from .observing.ranges import check_rule
from .report.quantization_report import AnswersReport, CalibrationReport, QuantizationReport, WeightRow
from .report.weight_rows import rows_of
from .rounding.choice import NEAREST, Budget, Choice, all_nearest
from .rounding.precision import Precision

FLOATS, INTEGERS = "float", "integer"  # arithmetic
SMALLEST_OPSET = 13  # the first whose DequantizeLinear has a scale per channel


def quantize(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    precision: str | Mapping[str, str] = DEFAULT,
    calibration: Iterable[Given] | None = None,
    method: str | None = None,
    ranges: str | None = None,
    extra: float = Budget.extra,
    max_bytes: int | None = None,
    max_error: float | None = None,
    arithmetic: str = FLOATS,
    progress: Progress | None = None,
) -> QuantizationReport:
    """Quantize the weights of a streaming ONNX file and write a new file.

    Each weight matrix of a recurrent, linear or convolution layer, and each embedding table, becomes integers. Each
    output channel has one float32 scale (an LSTM has one channel per gate and unit, a table one per id), or one scale
    per group of inputs. Before the new file is written, it is streamed next to the float model: the report has the
    error of the answers, and a warning if they err by more than 10 %.

    Without calibration each weight is rounded to the nearest integer. With calibration streams the errors on the
    model's output are smaller: weights are rounded so that their errors cancel on the streams, biases take up the
    mean error that is left, and a few more bytes are spent on the weights that matter most. docs/quantization.md says
    which options to use when.

    Args:
        source: A file made by `export_model` or `lift`. Codes of its maker are quantized again, from their values.
        target: The file to write.
        precision: W8A16, W8A8, W4A16, W4A8, W16A16 or W16A8: the bits of weights, and the most bits of activations on
            tidegate's engine (other runtimes keep float activations). A suffix g8 or g32 (W4A8g32) gives each group
            of 8 or 32 inputs its own scale. float32 leaves weights as they are. A mapping gives precisions by patterns
            of weight names, e.g. `{"*": "W4A8g32", "head.*": "W16A16"}`: the last match wins, and `*` is the default
            for all other weights. The matrices of a front end (`contract.fixed`) stay float32 unless a pattern other
            than `*` matches them.
        calibration: Streams like those that the model will hear. Each is float32 `[frames, features]`, or integers
            `[frames]` if the model reads ids, and starts from the zero state. For several signals, or with static
            inputs, it is a dict of these by name. About a fifth of the frames is held out from calibration: the
            reported error is measured on them.
        method: How weights are rounded: `nearest`; or, with calibration, `compensated` (second-order) or `guided`
            (second-order, frames weighted by the output's gradient). None: `nearest` without calibration; with it,
            the method that errs least on the held-out frames.
        ranges: With calibration: fix the ranges of activations, as static int8 does, by `minmax`, `percentile`
            (99.99 %), `mse` or `entropy`; values outside saturate. None: each frame is scaled by its own largest
            magnitude, which usually errs less.
        extra: With calibration: how many more bytes may be spent on weights, as a fraction of their bytes at the
            precisions asked for. 0: none. A weight that matches a pattern other than `*` keeps its precision.
        max_bytes: With calibration: the most bytes of the file. Precisions are then chosen freely, higher or lower
            than asked for, to err least within this size.
        max_error: With calibration: the most error of the output on the held-out frames, as a relative root mean
            square. The smallest file that meets it is written.
        arithmetic: `float`; or, with calibration, `integer`: on tidegate's engine, layers with int8 weights and one
            scale per channel compute with integers only (int16 activations and states, gates in fixed point).
            Precisions stay as asked for. The report lists the operators that still compute in floats.
        progress: Called with the fraction of the calibration that is done, 0 to 1.

    Returns:
        Shape, precision and error of each weight, the error of the answers, and what calibration found.

    Raises:
        ModelError: The source is not a streaming ONNX file, has no recurrent node, or is the target too.
        UnsupportedError: Calibration is asked for, but the engine does not run the model.
        QuantizationError: An option, a weight or a calibration stream cannot be used, or no precisions meet
            `max_bytes` and `max_error`. No file is written.
        BackendError: The engine does not run the model, and onnxruntime is not installed.
        FileNotFoundError: There is no source file.
    """
    options = Options(precision, calibration, method, ranges, extra, max_bytes, max_error, arithmetic, progress)
    refuse_overwriting(target, source)
    with naming(source):
        graph = _opened(source)
        result = nearest(graph, options) if calibration is None else calibrated(graph, options)
        return write(result, source, target, arithmetic)


@dataclass(frozen=True)
class Options:
    """The options of one call of `quantize`, checked; their meaning is in its docstring.

    Raises:
        QuantizationError: An option has an unknown value, or needs calibration, or excludes another one.
    """

    precision: str | Mapping[str, str] = DEFAULT
    calibration: Iterable[Given] | None = None
    method: str | None = None
    ranges: str | None = None
    extra: float = Budget.extra
    max_bytes: int | None = None
    max_error: float | None = None
    arithmetic: str = FLOATS
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.arithmetic not in (FLOATS, INTEGERS):
            raise QuantizationError(f"arithmetic is {self.arithmetic!r}, wanted {FLOATS} or {INTEGERS}")
        if self.calibration is None:
            self._check_without_streams()
            return
        if self.method not in METHODS_BY_NAME:
            raise QuantizationError(f"method is {self.method!r}, wanted nearest, compensated or guided")
        if self.ranges is not None:
            check_rule(self.ranges)
            if self.arithmetic == INTEGERS:
                raise QuantizationError("integer arithmetic has its own scales, powers of two: leave ranges out")

    def _check_without_streams(self) -> None:
        if self.arithmetic == INTEGERS:
            raise QuantizationError(
                "integer arithmetic needs calibration: streams like those the model will hear give its scales"
            )
        if self.method not in (None, NEAREST) or any(
            option is not None for option in (self.ranges, self.max_bytes, self.max_error)
        ):
            raise QuantizationError(
                "method, ranges, max_bytes and max_error need calibration: streams like those the model will hear"
            )

    @property
    def streams(self) -> Iterable[Given]:
        """The calibration streams; none without calibration."""
        return () if self.calibration is None else self.calibration


@dataclass(frozen=True, eq=False)
class Result:
    """A quantized graph, ready to be written.

    Attributes:
        graph: The graph.
        model: What runs it.
        weights: What became of each weight.
        answers: How far its answers are from those of the float model; None if they could not be compared.
        warnings: Sentences about these answers.
        calibration: What calibration found; None without calibration.
        float_operators: With integer arithmetic, the operators that still compute in floats.
        front_error: The error of the answers by the front end alone; None if there is none.
    """

    graph: Graph
    model: Model
    weights: tuple[WeightRow, ...]
    answers: AnswersReport | None
    warnings: tuple[str, ...]
    calibration: CalibrationReport | None = None
    float_operators: tuple[str, ...] = ()
    front_error: float | None = None


def nearest(graph: Graph, options: Options) -> Result:
    """Round each weight to the nearest codes of the precision asked for, and judge the result on noise."""
    weights = weights_of(graph)
    fixed = graph.contract.fixed
    asked = choose(options.precision, weights, fixed)
    choice = all_nearest(asked)
    written, made = with_codes(graph, weights, choice)
    model, exact = opened(written), compare(graph)
    rows = rows_of(weights, asked, made, choice, {})
    if exact is None:
        return Result(written, model, rows, None, (NOT_COMPARED,))

    def measure(other: Choice) -> float:
        return exact.report(opened(with_codes(graph, weights, other)[0])).error

    answers = exact.report(model)
    warnings = _warnings(answers, weights, choice, measure, options)
    return Result(written, model, rows, answers, warnings, front_error=_front_error(asked, fixed, measure))


def calibrated(graph: Graph, options: Options) -> Result:
    """Round weights by what the float model computes on the streams, and judge the result on the held-out frames."""
    started, in_integers = perf_counter(), options.arithmetic == INTEGERS
    weights = weights_of(graph)
    fixed = graph.contract.fixed
    asked = choose(options.precision, weights, fixed)
    budget = Budget(options.extra, options.max_bytes, options.max_error)
    kept = set(asked) if in_integers else pinned(options.precision, weights, fixed)

    calibration = _calibration(graph, options, weights)
    if options.max_bytes is not None:
        corrections = calibration.most_corrections(asked)
        rest = bytes_of_the_rest(graph, weights, asked, corrections, ranges=options.ranges is not None)
        budget = replace(budget, other_bytes=rest)
    choice = calibration.choose(weights, asked, kept, budget)
    written, made = with_codes(graph, weights, choice)
    ranges, readings = {}, {}
    if options.ranges is not None:
        program = lower(written)
        ranges, readings = calibration.ranges_of(program), calibration.readings(program)
        describe(written, made, ranges)
    elif in_integers:
        add_exponents(written, lower(written), calibration.exponents)

    program = lower(written)
    _check_size(written, options.max_bytes)
    rows = rows_of(weights, asked, made, choice, ranges)
    in_floats = operators_in_floats(written, program) if in_integers else ()
    found = calibration.report(program, choice, readings, started)
    answers = AnswersReport("calibration frames held out", found.held_frames, found.error, found.errors)

    def measure(other: Choice) -> float:
        return calibration.error(lower(with_codes(graph, weights, other)[0]))

    warnings = _warnings(answers, weights, choice, measure, options)
    front_error = _front_error(choice.precisions, fixed, measure)
    return Result(written, model_of(program, written), rows, answers, warnings, found, in_floats, front_error)


def write(
    result: Result, source: str | os.PathLike[str], target: str | os.PathLike[str], arithmetic: str
) -> QuantizationReport:
    """Try the quantized graph out, write it, and return the report."""
    try_out(result.graph, result.model)
    data = result.graph.model.SerializeToString()
    write_atomic(target, data)
    return QuantizationReport(
        path=os.fspath(target),
        source_bytes=Path(source).stat().st_size,
        bytes=len(data),
        weights=result.weights,
        backend=result.model.backend,
        calibration=result.calibration,
        arithmetic=arithmetic,
        float_operators=result.float_operators,
        answers=result.answers,
        warnings=result.warnings,
        front_error=result.front_error,
    )


def _front_error(precisions: Mapping[str, Precision], fixed: Collection[str], measure: Measure) -> float | None:
    """Return the error of the answers if only the weights of front ends have codes; None without front ends."""
    if not any(name in fixed for name in precisions):
        return None
    floats = Precision.parse("float32")
    only = {name: one if name in fixed else floats for name, one in precisions.items()}
    return 0.0 if set(only.values()) == {floats} else measure(all_nearest(only))


def _warnings(
    answers: AnswersReport, weights: Sequence[Weight], choice: Choice, measure: Measure, options: Options
) -> tuple[str, ...]:
    """Return the warning about answers that err above the bound, with a way out; empty if they do not."""
    bound = max(options.max_error or 0.0, BOUND)
    if answers.error <= bound:
        return ()
    leave_out = "integer arithmetic" if options.arithmetic == INTEGERS else "ranges" if options.ranges else ""
    change = way_out(weights, choice, measure, bound, leave_out=leave_out)
    if change and options.max_bytes is not None:
        change += ", in a larger file than max_bytes allows"
    return (too_far(answers, bound, change, calibrated=options.calibration is not None),)


def _opened(source: str | os.PathLike[str]) -> Graph:
    """Read a file that can be quantized: a streaming graph with a recurrent node. Codes of its maker become floats."""
    graph = Graph.load(source)
    if not any((with_weights(node) or node).op_type in BY_NAME for node in graph.nodes):
        seen = ", ".join(sorted({node.op_type for node in graph.nodes})[:8])
        raise ModelError(f"{source}: no recurrent node ({', '.join(STANDARD)}) in the graph, only {seen}")
    if graph.metadata(QUANTIZATION_KEY) is not None:
        raise QuantizationError(f"{source}: already quantized; start from the float file")
    if graph.opset() < SMALLEST_OPSET:
        raise QuantizationError(f"{source}: operator set {graph.opset()}, wanted {SMALLEST_OPSET} or later")
    graph.contract  # noqa: B018  raises if there is none
    return fold_weights(graph)


def _calibration(graph: Graph, options: Options, weights: Sequence[Weight]) -> Calibration:
    """Observe the float model on the calibration streams."""
    try:
        program = lower(graph)
    except UnsupportedError as error:
        raise UnsupportedError(f"calibration runs on the engine, and {error}") from None
    return Calibration(
        program,
        graph.contract,
        read_streams(options.streams, program, graph.contract),
        method=options.method,
        ranges=options.ranges,
        integers=options.arithmetic == INTEGERS,
        written=lambda choice: lower(with_codes(graph, weights, choice)[0]),
        progress=options.progress,
    )


def _check_size(graph: Graph, most: int | None) -> None:
    size = graph.model.ByteSize()
    if most is not None and size > most:
        raise QuantizationError(f"the file would have {size} bytes, at most {most} were asked for")
