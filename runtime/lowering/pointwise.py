"""Functions per feature: of one value, of a value and a constant, of two values."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from ..arrays import Array
from ..graph.nodes import attributes
from ..operators import Binary, Elementwise, Linear, Map
from .trace import Handler, Trace, unsupported
from .values import BATCH, FEATURE, NEWEST, ONE, TIME, AxisSizes, Signal, Value
from .weights import along_features, flushed

MAPS = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Erf": "erf",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Neg": "neg",
    "Exp": "exp",
    "Log": "log",
    "Reciprocal": "reciprocal",
    "Softplus": "softplus",
}
FUNCTIONS = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Max": "max", "Min": "min"}
SWAPPED = {"sub": "from", "div": "into"}  # names if the constant is the first operand; the others commute
SIZES = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide}
BEYOND = 2.0**64  # a bound from here on has no effect


def _map(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [mapped(trace, trace.signal(node), MAPS[node.op_type])]


def mapped(trace: Trace, signal: Signal, function: str, *numbers: float) -> Signal:
    """Emit a function of one value."""
    return replace(signal, value=trace.emit(Map((signal.value,), function, numbers)))


def _numbers(node: onnx.NodeProto, **defaults: float) -> list[float]:
    given = attributes(node)
    return [float(v) for v in flushed(node, np.asarray([given.get(key, value) for key, value in defaults.items()]))]


def _leaky_relu(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [mapped(trace, trace.signal(node), "leaky_relu", *_numbers(node, alpha=0.01))]


def _hard_sigmoid(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [mapped(trace, trace.signal(node), "hard_sigmoid", *_numbers(node, alpha=0.2, beta=0.5))]


def _hard_swish(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node)
    return [paired(trace, node, signal, mapped(trace, signal, "hard_sigmoid", float(np.float32(1 / 6)), 0.5), "mul")]


def _swish(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    if attributes(node).get("alpha", 1.0) != 1.0:
        raise unsupported(node, "alpha must be 1")
    signal = trace.signal(node)
    return [paired(trace, node, signal, mapped(trace, signal, "sigmoid"), "mul")]


def _gelu(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    form = attributes(node).get("approximate", "none")
    return [mapped(trace, trace.signal(node), "gelu_tanh" if form == "tanh" else "gelu")]


def _elu(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    return [mapped(trace, trace.signal(node), "elu", *_numbers(node, alpha=1.0))]


def _selu(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    alpha, gamma = _numbers(node, alpha=1.6732632423543772, gamma=1.0507009873554805)
    return [_scaled(trace, mapped(trace, trace.signal(node), "elu", alpha), gamma)]


def _celu(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Compute alpha elu(x / alpha), which is x above 0."""
    (alpha,) = _numbers(node, alpha=1.0)
    if not alpha > 0:
        raise unsupported(node, f"alpha is {alpha}, wanted a number above 0")
    return [_scaled(trace, mapped(trace, _scaled(trace, trace.signal(node), 1 / alpha), "elu", 1.0), alpha)]


def _scaled(trace: Trace, signal: Signal, factor: float) -> Signal:
    if factor == 1:
        return signal
    constant = np.full(trace.widths[signal.value], factor, np.float32)
    return replace(signal, value=trace.emit(Elementwise((signal.value,), "mul", constant)))


def _mish(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node)
    return [paired(trace, node, signal, mapped(trace, mapped(trace, signal, "softplus"), "tanh"), "mul")]


def _sign(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    """Divide by the magnitude; zero stays zero, because the divisor is at least 2^-60."""
    signal = trace.signal(node)
    magnitude = with_constant(trace, node, mapped(trace, signal, "abs"), "max", np.asarray(2.0**-60))
    return [paired(trace, node, signal, magnitude, "div")]


# ---- powers ----


def _pow(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    base, exponent = (trace.constant(node, i) for i in (0, 1))
    if exponent is not None and exponent.size == 1:
        return [_power(trace, node, trace.signal(node), float(exponent.item()))]
    if base is None or not np.all(base > 0):
        raise unsupported(node, "neither its exponent is one constant, nor its base constants above 0")
    product = with_constant(trace, node, trace.signal(node, 1), "mul", np.log(base))
    return [mapped(trace, product, "exp")]


def _power(trace: Trace, node: onnx.NodeProto, x: Signal, exponent: float) -> Signal:
    """Emit a power. Whole and half exponents become products and a root, so that x may be 0 or below it."""
    whole, rest = divmod(abs(exponent), 1)
    if exponent == 0:
        return with_constant(trace, node, _scaled(trace, x, 0.0), "add", np.asarray(1.0))
    if rest not in (0, 0.5):
        return mapped(trace, x, "power", *flushed(node, np.asarray([exponent])).tolist())
    x = mapped(trace, x, "reciprocal") if exponent < 0 else x
    product = _whole_power(trace, node, x, int(whole)) if whole else None
    root = mapped(trace, x, "sqrt") if rest else None
    return paired(trace, node, product, root, "mul") if product and root else product or root or x


def _whole_power(trace: Trace, node: onnx.NodeProto, x: Signal, exponent: int) -> Signal:
    """Emit x to a power of at least 1 by repeated squares."""
    if exponent == 1:
        return x
    square = mapped(trace, _whole_power(trace, node, x, exponent // 2), "square")
    return paired(trace, node, square, x, "mul") if exponent % 2 else square


def _prelu(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    slope = trace.constant(node, 1)
    if slope is None:
        raise unsupported(node, "its slope is not constant")
    return [with_constant(trace, node, trace.signal(node), "prelu", slope)]


def _clip(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    signal = trace.signal(node)
    for position, key, function in ((1, "min", "max"), (2, "max", "min")):
        bound = _bound(trace, node, position, key)
        if bound is not None and abs(float(bound.item())) < BEYOND:
            signal = with_constant(trace, node, signal, function, bound)
    return [signal]


def _bound(trace: Trace, node: onnx.NodeProto, position: int, key: str) -> Array | None:
    if position < len(node.input) and node.input[position]:
        bound = trace.constant(node, position)
        if bound is None or bound.size != 1:
            raise unsupported(node, f"its {key} {node.input[position]!r} is not one constant value")
        return bound
    given = attributes(node).get(key)
    return None if given is None else np.asarray(given, np.float32)


# ---- two operands ----


def _arithmetic(trace: Trace, node: onnx.NodeProto) -> list[Value]:
    if len(node.input) != 2:
        raise unsupported(node, f"it has {len(node.input)} inputs, the engine takes two")
    if any(isinstance(trace.values.get(name), AxisSizes) for name in node.input):
        return [_of_sizes(trace, node)]
    function = FUNCTIONS[node.op_type]
    first, second = (trace.constant(node, i) for i in (0, 1))
    if second is not None:
        return [with_constant(trace, node, trace.signal(node), function, second)]
    if first is not None:
        return [with_constant(trace, node, trace.signal(node, 1), SWAPPED.get(function, function), first)]
    return [paired(trace, node, trace.signal(node), trace.signal(node, 1), function)]


def _of_sizes(trace: Trace, node: onnx.NodeProto) -> AxisSizes:
    """Compute with known sizes: torch computes the bounds of a chunk() or split() so. Time may be folded with batch."""
    folded = _folded(trace, node) if node.op_type == "Mul" else None
    if folded is not None:
        return AxisSizes((folded,))
    numbers = [trace.integers(node, position, "") for position in (0, 1)]
    if (frame := _counted_frame(trace, node, numbers)) is not None:
        return AxisSizes((frame,))
    compute = SIZES.get(node.op_type)
    if compute is None or None in numbers:
        raise unsupported(node, "it computes with a size that a push decides")
    first, second = (np.asarray(n, np.int64) for n in numbers)
    if node.op_type == "Div" and not np.all(second):
        raise unsupported(node, "it divides a size by zero")
    return AxisSizes(tuple(int(size) for size in compute(first, second)))


def _counted_frame(trace: Trace, node: onnx.NodeProto, numbers: Sequence[list[int] | None]) -> str | None:
    """Return what `x.shape[1] - 1` counts, and the end that `narrow()` makes of it by adding 1."""
    sizes = [trace.values.get(name) for name in node.input]
    items = next(size.items for size in sizes if isinstance(size, AxisSizes))
    added = {"Add": numbers[1] or numbers[0], "Sub": [-n for n in numbers[1] or []]}.get(node.op_type)
    if not added or len(added) != 1 or len(items) != 1:
        return None
    counted: dict[tuple[int | str, int], str] = {(TIME, -1): NEWEST, (NEWEST, 1): TIME}
    return counted.get((items[0], added[0]))


def _folded(trace: Trace, node: onnx.NodeProto) -> int | str | None:
    """Return what a product of two sizes counts if one of them is the batch, because a stream is a batch of one."""
    known = [trace.values.get(name) for name in node.input]
    sizes = [v.items if isinstance(v, AxisSizes) else trace.integers(node, i, "") for i, v in enumerate(known)]
    items = [size[0] for size in sizes if size is not None and len(size) == 1]
    if len(items) < 2 or BATCH not in items:
        return None
    return items[1 - items.index(BATCH)]


def with_constant(trace: Trace, node: onnx.NodeProto, signal: Signal, function: str, constant: Array) -> Signal:
    """Emit a function of a value and a constant; an Add after a MatMul becomes its bias."""
    vector, signal = along_features(trace, node, constant, signal)
    linear = _unbiased_linear(trace, signal) if function == "add" else None
    if linear is not None:
        trace.ops[-1] = replace(linear, bias=vector)
        return signal
    if function == "div" and not np.all(vector):
        raise unsupported(node, "it divides by zero")
    return replace(signal, value=trace.emit(Elementwise((signal.value,), function, vector)))


def _unbiased_linear(trace: Trace, signal: Signal) -> Linear | None:
    """Return the Linear that made the signal if it is the last operation, has no bias, and nothing else reads it."""
    last = trace.ops[-1] if signal.value == len(trace.ops) > 0 else None
    if not isinstance(last, Linear) or np.any(last.bias):
        return None
    return last if trace.readers(signal.value) == 1 else None


def paired(trace: Trace, node: onnx.NodeProto, a: Signal, b: Signal, function: str) -> Signal:
    """Emit a function of two values."""
    a, b = alike(trace, a, b)
    axes = aligned(trace, node, a, b)
    widths = {trace.widths[a.value], trace.widths[b.value]}
    if len(widths) == 2 and 1 not in widths:
        raise unsupported(node, f"its operands have {trace.widths[a.value]} and {trace.widths[b.value]} features")
    return Signal(trace.emit(Binary((a.value, b.value), function)), axes)


def alike(trace: Trace, a: Signal, b: Signal) -> tuple[Signal, Signal]:
    """Return two operands; next to a value of the last frame only, a steady one is such a value too."""
    if TIME in a.axes or TIME in b.axes or trace.is_steady(a) == trace.is_steady(b):
        return a, b
    return trace.last(a), trace.last(b)


def aligned(trace: Trace, node: onnx.NodeProto, a: Signal, b: Signal) -> tuple[str, ...]:
    """Return the axes of two operands after broadcasting, aligned from the right as in ONNX."""
    if (TIME in a.axes) != (TIME in b.axes) and not (trace.is_steady(a) or trace.is_steady(b)):
        raise unsupported(node, "it joins a value of each frame with a value of only the last frame")
    rank = max(len(a.axes), len(b.axes))
    first, second = ((ONE,) * (rank - len(s.axes)) + s.axes for s in (a, b))
    axes = tuple(y if x == ONE else x for x, y in zip(first, second, strict=True))
    fits = all(x == y or ONE in (x, y) for x, y in zip(first, second, strict=True))
    if not fits or axes.count(FEATURE) > 1 or axes.count(TIME) > 1:
        raise unsupported(node, f"its operands have axes ({', '.join(a.axes)}) and ({', '.join(b.axes)})")
    return axes


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(MAPS, _map),
    **dict.fromkeys(FUNCTIONS, _arithmetic),
    "LeakyRelu": _leaky_relu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Swish": _swish,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "Mish": _mish,
    "Sign": _sign,
    "Gelu": _gelu,
    "Pow": _pow,
    "PRelu": _prelu,
    "Clip": _clip,
}
