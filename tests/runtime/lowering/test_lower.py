"""Every form of graph that lowering understands streams as on onnxruntime; every other is refused by name."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.quant import quantize
from tidegate.quant.rounding.nearest import rounded
from tidegate.runtime.arrays import Answer, Array, Floats
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.errors import ContractError, ModelError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY, lower
from tidegate.runtime.program import Elementwise, Last, Linear, Lstm, Program, Reading

FEATURES = 4
HIDDEN = 8
TOLERANCE = 2e-4  # 16-bit activations against float ones, on values of order 1; seen: 6e-5
SIZES: dict[str, int | str] = {"t": "time", "b": "batch", "f": FEATURES}


@dataclass
class Draft:
    """A streaming graph in the making: methods add a node and return the name of what it makes.

    Attributes:
        axes: What the axes of the input `x` are: t(ime), b(atch), f(eatures).
        int8: Whether weights are int8 codes and scales; else they stay float, for `quantize`.
        opset: Version of the standard operator set.
    """

    axes: str = "tbf"
    int8: bool = True
    opset: int = 18
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    quantization: str | None = None

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self._number = count()
        self.inputs = [Port("x", self.axes.index("t"), self.axes.find("b") if "b" in self.axes else None)]

    # ---- parts ----

    def name(self) -> str:
        return f"v{next(self._number)}"

    def many(self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> list[str]:  # noqa: ANN401
        """Add a node with the outputs named; the first LSTM is called `lstm`, the second `lstm2`."""
        number = sum(n.op_type == op for n in self.nodes) + 1
        name = op.lower() + (str(number) if number > 1 else "")
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        return list(outputs)

    def add(self, op: str, *inputs: str, to: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add a node with one output."""
        return self.many(op, inputs, [to or self.name()], **attributes)[0]

    def tensor(self, values: object, dtype: Any = np.float32) -> str:  # noqa: ANN401
        """Add an initializer."""
        name = self.name()
        self.tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def random(self, *shape: int) -> Floats:
        return self.rng.normal(0, 0.4, shape).astype(np.float32)

    def weights(self, *shape: int, axis: int) -> str:
        """Add a random weight matrix whose rows lie along `axis`."""
        values = self.random(*shape)
        if not self.int8:
            return self.tensor(values)
        rows = np.moveaxis(values, axis, 0)
        codes, scales = rounded(rows.reshape(len(rows), -1), 8)
        return self.dequantize(np.moveaxis(codes.reshape(rows.shape), 0, axis), scales[:, 0], axis=axis)

    def dequantize(self, codes: Array, scales: Array, *more: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add weights from codes and scales as they are."""
        inputs = [self.tensor(codes, codes.dtype), self.tensor(scales, scales.dtype), *more]
        return self.add("DequantizeLinear", *inputs, **attributes)

    def state(self, layers: int = 1) -> tuple[str, str]:
        """Add state inputs h and c; their outputs are named with `.out`."""
        label = self.name()
        names = f"{label}.h", f"{label}.c"
        shape = (layers, "batch", HIDDEN)
        self.states += [State(n, f"{n}.out", n[-1], shape) for n in names]
        return names

    def lstm(self, x: str, features: int = FEATURES, **options: Any) -> str:  # noqa: ANN401
        """Add an LSTM with a state of its own and return its Y; `options` are attributes or inputs by name."""
        parts = {
            "W": options.pop("W", None) or self.weights(1, 4 * HIDDEN, features, axis=1),
            "R": options.pop("R", None) or self.weights(1, 4 * HIDDEN, HIDDEN, axis=1),
            "B": options.pop("B", None) or self.tensor(self.random(1, 8 * HIDDEN)),
            "lens": options.pop("lens", ""),
        }
        h, c = options.pop("start", None) or self.state()
        inputs = [x, *parts.values(), h, c, *([p] if (p := options.pop("P", "")) else [])]
        outputs = [self.name(), *options.pop("final", (f"{h}.out", f"{c}.out"))]
        return self.many("LSTM", inputs, outputs, **{"hidden_size": HIDDEN} | options)[0]

    def squeeze(self, x: str, *axes: int) -> str:
        return self.add("Squeeze", x, self.tensor(axes, np.int64))

    def unsqueeze(self, x: str, *axes: int) -> str:
        return self.add("Unsqueeze", x, self.tensor(axes, np.int64))

    def gather(self, x: str, index: object, axis: int = 0) -> str:
        return self.add("Gather", x, self.tensor(index, np.int64), axis=axis)

    def layer(self, x: str, features: int = FEATURES) -> str:
        """Add an LSTM and drop the axis of directions: (time, batch, features) in and out."""
        return self.squeeze(self.lstm(x, features), 1)

    def answer(self, name: str, time: int | None = 0, batch: int | None = 1) -> None:
        """Make a value an output."""
        self.ports.append(Port(name, time, batch))

    # ---- the whole ----

    @property
    def contract(self) -> Contract:
        return Contract(tuple(self.inputs), tuple(self.ports), tuple(self.states))

    def graph(self) -> Graph:
        def value(name: str, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

        inputs = [value(p.name, [SIZES[a] for a in self.axes]) for p in self.inputs]
        inputs += [value(s.input, s.shape) for s in self.states]
        outputs = [value(p.name, None) for p in self.ports] + [value(s.output, s.shape) for s in self.states]
        graph = helper.make_graph(self.nodes, "draft", inputs, outputs, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        made = Graph(model)
        made.set_metadata(METADATA_KEY, self.contract.to_json())
        if self.quantization is not None:
            made.set_metadata(QUANTIZATION_KEY, self.quantization)
        return made

    def program(self) -> Program:
        return lower(self.graph())


# ---- forms that are understood ----


def batch_first(d: Draft) -> None:
    """Transposes before and after, as of `nn.LSTM(batch_first=True)`."""
    y = d.layer(d.add("Transpose", "x", perm=[1, 0, 2]))
    d.answer(d.add("Transpose", y, perm=[1, 0, 2]), time=1, batch=0)


def batch_first_last_frame(d: Draft) -> None:
    """The answer y[:, -1] of a batch-first model."""
    y = d.layer(d.add("Transpose", "x", perm=[1, 0, 2]))
    d.answer(d.gather(d.add("Transpose", y, perm=[1, 0, 2]), -1, axis=1), time=None, batch=0)


def transpose_of_directions(d: Draft) -> None:
    """Y (time, direction, batch, hidden) turned around before its axis of directions goes."""
    y = d.add("Transpose", d.lstm("x"), perm=[0, 2, 1, 3])
    d.answer(d.squeeze(y, 2))


def transposed_twice_without_order(d: Draft) -> None:
    """A Transpose without `perm` reverses the axes."""
    d.answer(d.add("Transpose", d.add("Transpose", d.layer("x"))))


def without_batch(d: Draft) -> None:
    y = d.lstm(d.unsqueeze("x", 1))
    d.answer(d.squeeze(y, 1, -2), batch=None)


def squeeze_in_two_steps(d: Draft) -> None:
    y = d.lstm(d.unsqueeze("x", -2))
    d.answer(d.squeeze(d.squeeze(y, 1), 1), batch=None)


def gather_of_an_axis_of_one(d: Draft) -> None:
    """Y[:, 0] in place of a Squeeze."""
    d.answer(d.gather(d.lstm("x"), 0, axis=1))


def axes_as_attributes(d: Draft) -> None:
    """Operator sets before 13 had axes and sizes where later ones have inputs."""
    h, c = d.state(2)
    starts = list(zip(d.many("Split", [h], ["h0", "h1"], axis=0), d.many("Split", [c], ["c0", "c1"]), strict=True))
    x = d.add("Unsqueeze", "x", axes=[1])
    y = d.add("Squeeze", d.lstm(x, start=starts[0], final=("hn0", "cn0")), axes=[1])
    y = d.add("Squeeze", d.lstm(y, HIDDEN, start=starts[1], final=("hn1", "cn1")), axes=[1, 2])
    for k in ("h", "c"):
        d.add("Concat", f"{k}n0", f"{k}n1", to=f"{d.states[0].input[:-1]}{k}.out", axis=0)
    d.answer(y, batch=None)


def stacked(d: Draft, **attributes: object) -> tuple[str, str]:
    """Two layers over one pair of states; return Y of the second and the joined h."""
    h, c = d.state(2)
    sizes = [] if attributes else [d.tensor([1, 1], np.int64)]
    hs = d.many("Split", [h, *sizes], ["h0", "h1"], axis=0, **attributes)
    cs = d.many("Split", [c, *sizes], ["c0", "c1"], axis=0, **attributes)
    y = d.squeeze(d.lstm("x", start=(hs[0], cs[0]), final=("hn0", "cn0")), 1)
    y = d.squeeze(d.lstm(y, HIDDEN, start=(hs[1], cs[1]), final=("hn1", "cn1")), 1)
    d.add("Concat", "cn0", "cn1", to=f"{c}.out", axis=0)
    return y, d.add("Concat", "hn0", "hn1", to=f"{h}.out", axis=0)


def two_layers_with_one_state_pair(d: Draft) -> None:
    d.answer(stacked(d)[0])


def two_layers_split_by_count(d: Draft) -> None:
    d.answer(stacked(d, num_outputs=2)[0])


def depths(d: Draft) -> None:
    """LSTMs before and behind other layers, each with its own states."""
    y = d.layer("x")
    y = d.add("MatMul", y, d.weights(HIDDEN, 5, axis=1))
    y = d.layer(d.add("Add", y, d.tensor(d.random(5))), 5)
    y = d.layer(d.add("Mul", y, d.tensor(0.5)), HIDDEN)
    d.answer(y)


def parallel(d: Draft) -> None:
    """Two layers that read the same frames."""
    d.answer(d.layer("x"))
    d.answer(d.layer("x"))


def linear_before(d: Draft) -> None:
    """A linear layer reads the frames themselves."""
    y = d.add("Gemm", "x", d.weights(6, FEATURES, axis=0), d.tensor(d.random(6)), transB=1)
    d.answer(d.squeeze(d.lstm(d.unsqueeze(y, 1), 6), 1, 2), batch=None)


def matmul(d: Draft) -> None:
    d.answer(d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1)))


def matmul_bias_right(d: Draft) -> None:
    d.answer(d.add("Add", d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1)), d.tensor(d.random(3))))


def matmul_bias_left(d: Draft) -> None:
    d.answer(d.add("Add", d.tensor(d.random(3)), d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1))))


def matmul_read_twice(d: Draft) -> None:
    """The bias belongs to one reader of the product alone."""
    y = d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1))
    d.answer(d.add("Add", y, d.tensor(d.random(3))))
    d.answer(d.add("Mul", y, d.tensor(2.0)))


def scale_as_one_value(d: Draft) -> None:
    """One scale for the whole matrix."""
    codes = d.rng.integers(-127, 128, (HIDDEN, 3)).astype(np.int8)
    d.answer(d.add("MatMul", d.layer("x"), d.dequantize(codes, np.array(0.01, np.float32))))


def zero_point_zero(d: Draft) -> None:
    codes = d.rng.integers(-127, 128, (HIDDEN, 3)).astype(np.int8)
    zero = d.tensor(np.zeros(3), np.int8)
    d.answer(d.add("MatMul", d.layer("x"), d.dequantize(codes, np.full(3, 0.01, np.float32), zero, axis=-1)))


def gemm(trans_b: int, bias: Callable[[Draft], list[str]]) -> Callable[[Draft], None]:
    def build(d: Draft) -> None:
        shape = (3, HIDDEN) if trans_b else (HIDDEN, 3)
        last = d.gather(d.layer("x"), -1)
        d.answer(d.add("Gemm", last, d.weights(*shape, axis=1 - trans_b), *bias(d), transB=trans_b), time=None, batch=0)

    return build


def elementwise(op: str, shape: tuple[int, ...], left: bool = False) -> Callable[[Draft], None]:
    """One constant beside the frames and another beside an LSTM's answer."""

    def build(d: Draft) -> None:
        def apply(x: str, width: int) -> str:
            values = d.rng.uniform(0.5, 2, [width if s == 0 else s for s in shape])
            pair = [x, d.tensor(values)]
            return d.add(op, *(pair[::-1] if left else pair))

        d.answer(apply(d.layer(apply("x", FEATURES)), HIDDEN))

    return build


def nothing_at_run_time(d: Draft) -> None:
    """Identity and Dropout do nothing once a model is trained."""
    y = d.layer(d.add("Identity", "x"))
    y = d.add("Dropout", y, d.tensor(0.5), d.tensor(False, np.bool_))
    d.answer(d.add("Identity", d.layer(y, HIDDEN)))


def every_frame_and_last(d: Draft) -> None:
    """Two answers with time and two without come as a dict."""
    y = d.layer("x")
    d.answer(y)
    d.answer(d.gather(y, -1), None, 0)
    logits = d.add("MatMul", y, d.weights(HIDDEN, 3, axis=1), to="logits")
    d.answer(logits)
    d.answer(d.gather(logits, -1), None, 0)


def last_frame_before_more_layers(d: Draft) -> None:
    """What stands behind the last frame runs once a chunk."""
    y = d.add("MatMul", d.gather(d.layer("x"), -1), d.weights(HIDDEN, 5, axis=1))
    y = d.add("Mul", y, d.tensor(d.random(5)))
    d.answer(d.add("MatMul", y, d.weights(5, 2, axis=1)), None, 0)


def final_state_squeezed(d: Draft) -> None:
    """A classifier on h_n[0]."""
    d.lstm("x")
    h = d.squeeze(d.states[0].output, 0)
    d.answer(d.add("Gemm", h, d.weights(3, HIDDEN, axis=0), transB=1), None, 0)


def final_state_itself(d: Draft) -> None:
    """An answer through Identity: a name has one role in the contract."""
    d.lstm("x")
    d.answer(d.add("Identity", d.squeeze(d.states[0].output, 0)), None, 0)


def final_state_gathered(index: int) -> Callable[[Draft], None]:
    """A classifier on h_n[-1] of two layers."""

    def build(d: Draft) -> None:
        h = d.gather(stacked(d)[1], index)
        d.answer(d.add("Gemm", h, d.weights(3, HIDDEN, axis=0), transB=1), None, 0)

    return build


def final_state_of_no_batch(d: Draft) -> None:
    """h_n[-1] and then its only stream."""
    d.lstm(d.unsqueeze("x", 1))
    d.answer(d.gather(d.gather(d.states[0].output, -1), 0), None, None)


def constants_in_nodes(d: Draft) -> None:
    """Constants come from Constant nodes, some through Identity."""

    def constant(**value: object) -> str:
        return d.many("Constant", [], [d.name()], **value)[0]

    axis = d.add("Identity", d.add("Identity", constant(value_ints=[1])))
    y = d.add("Squeeze", d.lstm("x", B=d.add("Identity", d.tensor(d.random(1, 8 * HIDDEN)))), axis)
    y = d.add("Mul", y, constant(value_float=0.5))
    y = d.add("Add", y, constant(value_floats=[float(i) / HIDDEN for i in range(HIDDEN)]))
    y = d.add("Sub", y, constant(value=numpy_helper.from_array(d.random(HIDDEN))))
    d.answer(d.add("Gather", y, constant(value_int=-1), axis=0), None, 0)


def weights_through_identity(d: Draft) -> None:
    """As of a file whose equal initializers were joined: codes, scales and the weights themselves."""
    codes = d.add("Identity", d.tensor(d.rng.integers(-127, 128, (HIDDEN, 3)), np.int8))
    weights = d.add("DequantizeLinear", codes, d.add("Identity", d.tensor(np.full(3, 0.01))), axis=1)
    d.answer(d.add("MatMul", d.layer("x"), d.add("Identity", weights)))


def tiny_biases(d: Draft) -> None:
    """1e-30 and subnormal values become zero in the engine, which changes no answer that counts."""
    values = np.resize(np.array([1e-30, -1e-30, 1e-40, -1e-45, 0.5], np.float32), 8 * HIDDEN)
    y = d.squeeze(d.lstm("x", B=d.tensor(values[None])), 1)
    y = d.add("MatMul", y, d.weights(HIDDEN, 5, axis=1))
    d.answer(d.add("Add", d.add("Add", y, d.tensor(values[:5])), d.tensor(np.float32(1e-42))))


def without_bias(d: Draft) -> None:
    """An optional input is left out by an empty name."""
    h, c = d.state()
    inputs = ["x", d.weights(1, 4 * HIDDEN, FEATURES, axis=1), d.weights(1, 4 * HIDDEN, HIDDEN, axis=1)]
    names = [d.name(), f"{h}.out", f"{c}.out"]
    d.answer(d.squeeze(d.many("LSTM", [*inputs, "", "", h, c], names, hidden_size=HIDDEN)[0], 1))


def options_that_say_the_default(d: Draft) -> None:
    options: dict[str, Any] = {
        "direction": "forward",
        "layout": 0,
        "input_forget": 0,
        "activations": ["Sigmoid", "Tanh", "Tanh"],
    }
    d.answer(d.squeeze(d.lstm("x", **options), 1))


FORMS: dict[str, tuple[Callable[[Draft], None], dict[str, Any]]] = {
    "batch first": (batch_first, {"axes": "btf"}),
    "batch first, last frame": (batch_first_last_frame, {"axes": "btf"}),
    "transposed directions": (transpose_of_directions, {}),
    "transposed twice": (transposed_twice_without_order, {}),
    "without batch": (without_batch, {"axes": "tf"}),
    "squeezed in two steps": (squeeze_in_two_steps, {"axes": "tf"}),
    "gathered axis of one": (gather_of_an_axis_of_one, {}),
    "axes as attributes": (axes_as_attributes, {"axes": "tf", "opset": 12, "int8": False}),
    "stacked states": (two_layers_with_one_state_pair, {}),
    "stacked states by count": (two_layers_split_by_count, {}),
    "depths": (depths, {}),
    "parallel": (parallel, {}),
    "linear before": (linear_before, {"axes": "tf"}),
    "matmul": (matmul, {}),
    "matmul + bias": (matmul_bias_right, {}),
    "bias + matmul": (matmul_bias_left, {}),
    "matmul read twice": (matmul_read_twice, {}),
    "one scale": (scale_as_one_value, {}),
    "zero point of zeros": (zero_point_zero, {}),
    "gemm": (gemm(0, lambda _: []), {}),
    "gemm transB": (gemm(1, lambda _: []), {}),
    "gemm + bias": (gemm(0, lambda d: [d.tensor(d.random(3))]), {}),
    "gemm transB + bias": (gemm(1, lambda d: [d.tensor(d.random(1, 3))]), {}),
    "gemm + one bias": (gemm(1, lambda d: [d.tensor(0.3)]), {}),
    **{
        f"{op} {shape}": (elementwise(op, shape), {})
        for op in ("Add", "Sub", "Mul", "Div")
        for shape in ((), (1,), (0,), (1, 1, 0))
    },
    **{f"{op} left {shape}": (elementwise(op, shape, True), {}) for op in ("Add", "Mul") for shape in ((), (0,))},
    "identity and dropout": (nothing_at_run_time, {}),
    "every frame and last": (every_frame_and_last, {}),
    "last before more": (last_frame_before_more_layers, {}),
    "h_n squeezed": (final_state_squeezed, {}),
    "h_n itself": (final_state_itself, {}),
    "h_n[-1]": (final_state_gathered(-1), {}),
    "h_n[0]": (final_state_gathered(0), {}),
    "h_n[-1][0]": (final_state_of_no_batch, {"axes": "tf"}),
    "constant nodes": (constants_in_nodes, {}),
    "weights through Identity": (weights_through_identity, {}),
    "tiny biases": (tiny_biases, {}),
    "without bias": (without_bias, {}),
    "default options": (options_that_say_the_default, {}),
}


def draft(form: str, **options: Any) -> Draft:  # noqa: ANN401
    build, given = FORMS[form]
    made = Draft(**given | options)
    build(made)
    return made


def write(d: Draft, path: Path) -> Path:
    d.graph().save(path)
    return path


def by_name(d: Draft, answer: Answer) -> dict[str, Array]:
    return answer if isinstance(answer, dict) else {d.ports[0].name: answer}


def signal(count: int = 40) -> Floats:
    return np.random.default_rng(1).normal(0, 1, (count, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_form_streams_as_on_onnxruntime(tmp_path: Path, form: str) -> None:
    """The engine's answers and states are onnxruntime's, of a chunk as of its frames; its own bits are equal."""
    pytest.importorskip("onnxruntime")
    d = draft(form)
    path, frames = write(d, tmp_path / "m.onnx"), signal()
    native, theirs = load(path).stream(), load(path, "onnxruntime").stream()
    mine, expected = by_name(d, native.push(frames)), by_name(d, theirs.push(frames))
    slow, slow_theirs = load(path).stream(), load(path, "onnxruntime").stream()
    steps = [by_name(d, slow.push(f[None])) for f in frames]
    steps_theirs = [by_name(d, slow_theirs.push(f[None])) for f in frames]
    worst = 0.0
    assert mine.keys() == expected.keys()
    for port in d.ports:
        answer = mine[port.name]
        assert answer.shape == expected[port.name].shape
        assert np.max(np.abs(answer)) > 1e-2  # an answer of zeros would say nothing
        joined = steps[-1][port.name] if port.time_axis is None else np.concatenate([s[port.name] for s in steps])
        np.testing.assert_array_equal(joined, answer, strict=True)
        pairs = [(answer, expected[port.name])]
        pairs += [(a[port.name], b[port.name]) for a, b in zip(steps, steps_theirs, strict=True)]
        worst = max(worst, *(float(np.max(np.abs(a - b))) for a, b in pairs))
    for name, values in native.state().items():
        np.testing.assert_array_equal(slow.state()[name], values, strict=True)
        worst = max(worst, float(np.max(np.abs(values - theirs.state()[name]))))
    print(f"{form}: largest difference of native from onnxruntime {worst:.1e}, allowed {TOLERANCE:.0e}")
    assert worst < TOLERANCE


# int8 from the start, or an operator set that quantize refuses
BY_HAND = {"one scale", "zero point of zeros", "weights through Identity", "axes as attributes"}


@pytest.mark.parametrize("form", sorted(FORMS.keys() - BY_HAND))
def test_form_quantized_from_float_gives_the_same_bits(tmp_path: Path, form: str) -> None:
    d = draft(form, int8=False)
    report = quantize(write(d, tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    assert report.backend.startswith("native")
    by_hand = load(write(draft(form), tmp_path / "hand.onnx")).stream().push(signal())
    by_quantize = load(tmp_path / "m.int8.onnx").stream().push(signal())
    for mine, expected in zip(by_name(d, by_quantize).values(), by_name(d, by_hand).values(), strict=True):
        np.testing.assert_array_equal(mine, expected, strict=True)


# ---- what is left at run time ----


def kinds(form: str) -> list[str]:
    return [type(op).__name__ for op in draft(form).program().ops]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("batch first", [Lstm]),
        ("without batch", [Lstm]),
        ("stacked states", [Lstm, Lstm]),
        ("identity and dropout", [Lstm, Lstm]),
        ("matmul + bias", [Lstm, Linear]),
        ("bias + matmul", [Lstm, Linear]),
        ("matmul read twice", [Lstm, Linear, Elementwise, Elementwise]),
        ("gemm + bias", [Lstm, Last, Linear]),
        ("h_n[-1]", [Lstm, Lstm, Last, Linear]),
        ("depths", [Lstm, Linear, Lstm, Elementwise, Lstm]),
    ],
)
def test_bookkeeping_leaves_nothing_at_run_time(form: str, expected: list[type]) -> None:
    assert kinds(form) == [kind.__name__ for kind in expected]


def test_tiny_and_subnormal_constants_become_zero() -> None:
    """A bias below 2^-60 would make subnormals, which some processors compute slowly or flush."""
    program = draft("tiny biases").program()
    constants = [op.bias for op in program.ops if isinstance(op, Lstm | Linear)]
    constants += [op.constant for op in program.ops if isinstance(op, Elementwise)]
    values = np.unique(np.concatenate(constants))
    assert values.tolist() == [0, 0.5]
    assert not np.any(np.signbit(values))


def test_float_weights_are_floats_and_tiny_ones_become_zero() -> None:
    """What is below 2^-40 would make subnormal products."""
    d = Draft()
    values = np.resize(np.array([1e-13, -1e-13, 1e-40, 2.0**-40, -0.5], np.float32), (HIDDEN, 3))
    d.answer(d.add("MatMul", d.layer("x"), d.tensor(values)))
    (matrix,) = d.program().ops[-1].record().matrices
    assert (matrix.weight_bits, matrix.group) == (32, 0)
    np.testing.assert_array_equal(matrix.codes, np.where(np.abs(values) < 2.0**-40, 0, values).T, strict=True)
    assert np.all(matrix.scales == 1)


@pytest.mark.parametrize("bits", [8, 16])
def test_metadata_states_the_activation_bits(bits: int) -> None:
    d = draft("matmul")
    names = [node.output[0] for node in d.nodes if node.op_type == "DequantizeLinear"]
    d.quantization = json.dumps({"version": 2, "activation_bits": dict.fromkeys(names[1:], bits)})
    seen = [matrix.bits for op in d.program().ops for matrix in op.record().matrices]
    assert seen == [16, *[bits] * (len(names) - 1)]  # 16 where nothing is said


def test_metadata_states_the_ranges_of_activations() -> None:
    d = draft("matmul")
    names = [node.output[0] for node in d.nodes if node.op_type == "DequantizeLinear"]
    range_of_last = {names[-1]: float(np.float32(0.3))}
    d.quantization = json.dumps(
        {"version": 2, "activation_bits": dict.fromkeys(names, 8), "activation_ranges": range_of_last}
    )
    seen = {matrix.name: matrix for op in d.program().ops for matrix in op.record().matrices}
    assert [seen[name].reading for name in names] == [Reading.FRAME, Reading.HIDDEN, Reading.CONSTANT]
    assert [seen[name].range for name in names] == [1, 1, np.float32(0.3)]


# ---- forms that are refused ----

Build = Callable[[Draft], object]
CODES = np.ones((HIDDEN, 3), np.int8)
SCALES = np.full(3, 0.01, np.float32)
BLOCKS = np.full((HIDDEN, 3), 0.01, np.float32)


def of_lstm(**options: Any) -> Build:  # noqa: ANN401
    """An LSTM with an option."""
    return lambda d: d.answer(d.squeeze(d.lstm("x", **options), 1))


def of_frame(build: Callable[[Draft, str], str]) -> Build:
    """A node behind the last frame (batch, hidden) of an LSTM."""
    return lambda d: d.answer(build(d, d.gather(d.layer("x"), -1)), None, 0)


def of_weight(codes: Array, scales: Array, zero: Array | None = None, **attributes: Any) -> Build:  # noqa: ANN401
    """A MatMul with weights as given."""

    def build(d: Draft, y: str) -> str:
        more = [] if zero is None else [d.tensor(zero, zero.dtype)]
        return d.add("MatMul", y, d.dequantize(codes, scales, *more, **attributes))

    return of_frame(build)


def of_constant(op: str, values: object, left: bool = False) -> Build:
    """An elementwise operation with a constant."""

    def build(d: Draft, y: str) -> str:
        pair = [y, d.tensor(values)]
        return d.add(op, *(pair[::-1] if left else pair))

    return of_frame(build)


def gru(d: Draft) -> None:
    w, r = d.weights(1, 3 * HIDDEN, FEATURES, axis=1), d.weights(1, 3 * HIDDEN, HIDDEN, axis=1)
    d.answer(d.squeeze(d.add("GRU", "x", w, r, "", "", d.state()[0], hidden_size=HIDDEN), 1))


def foreign(d: Draft) -> None:
    d.answer(d.add("Add", d.layer("x"), d.tensor(1.0), domain="com.example"))


def lstm_of_batch_first(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm(d.add("Transpose", "x", perm=[1, 0, 2])), 1))


def sequence_lens(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", lens=d.tensor([1], np.int32)), 1))


def peepholes(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", P=d.tensor(d.random(1, 3 * HIDDEN))), 1))


def start_left_out(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", start=("", ""), final=("hn", "cn")), 1))


def start_of_zeros(d: Draft) -> None:
    """A model that was exported without states."""
    zeros = d.tensor(np.zeros((1, 1, HIDDEN)))
    d.answer(d.squeeze(d.lstm("x", start=(zeros, zeros), final=("hn", "cn")), 1))


def start_of_two_layers(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", start=d.state(2)), 1))


def of_float(value: float, dtype: Any = np.float32) -> Build:  # noqa: ANN401
    """An LSTM with one such weight among ones."""

    def build(d: Draft) -> None:
        values = np.ones((1, 4 * HIDDEN, FEATURES), dtype)
        values[0, 5, 2] = value
        d.answer(d.squeeze(d.lstm("x", W=d.tensor(values, dtype)), 1))

    return build


def signal_as_weight(d: Draft) -> None:
    d.answer(d.add("MatMul", d.layer("x"), "x"))


def weight_first(d: Draft) -> None:
    d.answer(d.add("MatMul", d.weights(3, HIDDEN, axis=1), d.layer("x")))


def weight_of_three_axes(d: Draft) -> None:
    d.answer(d.add("MatMul", d.layer("x"), d.weights(1, HIDDEN, 3, axis=1)))


def wrong_axis_of_lstm(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", R=d.weights(1, 4 * HIDDEN, HIDDEN, axis=2)), 1))


def weight_computed(d: Draft) -> None:
    """Codes that the graph computes."""
    codes = d.add("Identity", "x")
    weight = d.add("DequantizeLinear", codes, d.tensor(1.0))
    d.answer(d.add("MatMul", d.layer("x"), weight))


def zero_point_computed(d: Draft) -> None:
    zero = d.add("Identity", "x")
    d.answer(d.add("MatMul", d.layer("x"), d.dequantize(CODES, SCALES, zero)))


def bias_computed(d: Draft) -> None:
    y = d.gather(d.layer("x"), -1)
    d.answer(d.add("Gemm", y, d.weights(HIDDEN, HIDDEN, axis=1), y), None, 0)


def lstm_bias_of_shape(*shape: int) -> Build:
    return lambda d: d.answer(d.squeeze(d.lstm("x", B=d.tensor(d.random(*shape))), 1))


def unfinite_lstm_bias(d: Draft) -> None:
    d.answer(d.squeeze(d.lstm("x", B=d.tensor(np.full((1, 8 * HIDDEN), np.inf))), 1))


def gemm_bias_of_shape(*shape: int) -> Build:
    return of_frame(lambda d, y: d.add("Gemm", y, d.weights(HIDDEN, 3, axis=1), d.tensor(d.random(*shape))))


def gemm_with(**attributes: Any) -> Build:  # noqa: ANN401
    return of_frame(lambda d, y: d.add("Gemm", y, d.weights(HIDDEN, HIDDEN, axis=1), **attributes))


def features_not_last(d: Draft) -> None:
    d.answer(d.add("MatMul", d.add("Transpose", "x", perm=[0, 2, 1]), d.weights(3, 3, axis=1)))


def constant_beside_another_axis(d: Draft) -> None:
    d.answer(d.add("Mul", d.add("Transpose", "x", perm=[0, 2, 1]), d.tensor(d.random(FEATURES))))


def concat_of_states_by_features(d: Draft) -> None:
    d.lstm("x", final=("hn", "cn"))
    d.answer(d.add("Concat", "hn", "cn", axis=2), None, 1)


def split_by_two(d: Draft) -> None:
    h, _ = d.state(4)
    d.answer(d.many("Split", [h, d.tensor([2, 2], np.int64)], ["a", "b"], axis=0)[0])


def gather_computed(d: Draft) -> None:
    d.answer(d.add("Gather", d.layer("x"), "x"))


def layer_that_is_not_there(d: Draft) -> None:
    d.lstm("x")
    d.answer(d.gather(d.states[0].output, 1), None, 0)


def cell_as_answer(d: Draft) -> None:
    """The engine gives h, not c."""
    d.lstm("x")
    d.answer(d.squeeze(d.states[1].output, 0), None, 0)


def cell_into_linear(d: Draft) -> None:
    d.lstm("x")
    d.answer(d.add("MatMul", d.squeeze(d.states[1].output, 0), d.weights(HIDDEN, 3, axis=1)), None, 0)


def squeeze_of_weight(d: Draft) -> None:
    d.answer(d.squeeze(d.weights(1, 3, 3, axis=1), 0))


def squeeze_without_axes(d: Draft) -> None:
    d.answer(d.add("Squeeze", d.lstm("x")))


def two_inputs(d: Draft) -> None:
    d.inputs.append(Port("x2", 0, 1))
    d.answer(d.layer("x"))


def input_of_two_features(d: Draft) -> None:
    d.inputs = [Port("x", 0, None)]
    d.answer(d.layer("x"))


def input_without_time(d: Draft) -> None:
    d.inputs = [Port("x", None, 1)]
    d.answer(d.layer("x"))


def input_not_in_graph(d: Draft) -> None:
    d.answer(d.layer("x"))


def output_of_another_axis(time: int | None) -> Build:
    return lambda d: d.answer(d.layer("x"), time)


def last_frame_called_timed(d: Draft) -> None:
    d.answer(d.gather(d.layer("x"), -1), 0, 1)


def relabelled(h: str, c: str) -> Build:
    """A contract whose state outputs are others than the graph's."""

    def build(d: Draft) -> None:
        d.answer(d.layer("x"))
        names = {"h": d.states[0].output, "c": d.states[1].output, "y": d.ports[0].name, "x": "x"}
        d.ports = [Port(d.add("Identity", d.ports[0].name), 0, 1)]
        d.states = [
            State(s.input, names[n], s.kind, s.shape) for s, n in zip(d.states, (h, c), strict=True) if n in names
        ]

    return build


def states_joined_in_another_order(d: Draft) -> None:
    y, _ = stacked(d)
    d.nodes[-1] = helper.make_node("Concat", ["hn1", "hn0"], d.nodes[-1].output, axis=0)
    d.answer(y)


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    # operators
    "linear_before_reset": (gru, UnsupportedError, "GRU 'gru': linear_before_reset is 0, wanted 1"),
    "operator": (
        of_frame(lambda d, y: d.add("Sin", y)),
        UnsupportedError,
        "Sin 'sin': the engine does not have this operator",
    ),
    "domain": (foreign, UnsupportedError, "Add 'add': the engine does not have this operator"),
    # options of an LSTM
    "axes of an LSTM": (lstm_of_batch_first, UnsupportedError, "axes (batch, time, feature), wanted (time, batch"),
    "reverse": (of_lstm(direction="reverse"), UnsupportedError, "it runs backward from an initial state, wanted none"),
    "bidirectional": (of_lstm(direction="bidirectional"), UnsupportedError, "direction is 'bidirectional', wanted"),
    "layout": (of_lstm(layout=1), UnsupportedError, "layout is 1, wanted 0"),
    "clip": (of_lstm(clip=3.0), UnsupportedError, "clip is 3.0, wanted 0.0"),
    "input_forget": (of_lstm(input_forget=1), UnsupportedError, "input_forget is 1, wanted 0"),
    "activations": (of_lstm(activations=["Sigmoid", "Tanh", "Relu"]), UnsupportedError, "wanted sigmoid, tanh, tanh"),
    "peepholes": (peepholes, UnsupportedError, "LSTM 'lstm': it has peepholes"),
    "sequence_lens": (sequence_lens, UnsupportedError, "LSTM 'lstm': it has sequence_lens"),
    "no start": (start_left_out, UnsupportedError, "it starts from '', wanted a state input; lift it with"),
    "start of zeros": (start_of_zeros, UnsupportedError, "it starts from 'v"),
    "start of two layers": (start_of_two_layers, UnsupportedError, "it starts from 'v"),
    # weights
    **{
        f"float weight {value}": (of_float(value), UnsupportedError, "holds a value that is not finite or above 2^40")
        for value in (np.nan, -np.inf, 1.2e12)
    },
    "weights of integers": (of_float(3, np.int64), UnsupportedError, "is neither constant floats nor codes through"),
    "signal as weight": (signal_as_weight, UnsupportedError, "its weight 'x' is neither constant floats nor codes"),
    "weight first": (weight_first, UnsupportedError, "is not a signal that the engine can follow"),
    "three axes": (weight_of_three_axes, UnsupportedError, "its weight has shape (1, 8, 3), wanted two axes"),
    "wrong axis": (of_weight(CODES, np.ones(HIDDEN, np.float32), axis=0), UnsupportedError, "axis 0, wanted 1"),
    "wrong axis of an LSTM": (wrong_axis_of_lstm, UnsupportedError, "its weights are scaled along axis"),
    "computed codes": (weight_computed, UnsupportedError, "takes constant codes and scales"),
    "computed zero point": (zero_point_computed, UnsupportedError, "takes constant codes and scales"),
    "uint8": (of_weight(CODES.astype(np.uint8), SCALES), UnsupportedError, "weights are uint8, wanted int4, int8 or"),
    "zero point": (
        of_weight(CODES, SCALES, np.array([0, 1, 0], np.int8)),
        UnsupportedError,
        "weights are int8, wanted int4, int8 or int16 with zero point 0",
    ),
    "blocks of 4": (of_weight(CODES, BLOCKS[:2], axis=0, block_size=4), UnsupportedError, "blocks of 4, wanted 8, 32"),
    "blocks of rows": (
        of_weight(CODES, BLOCKS[:, :1], block_size=8),
        UnsupportedError,
        "blocks along axis 1, wanted 0",
    ),
    "too few blocks": (of_weight(CODES, BLOCKS[:1], axis=0, block_size=4), UnsupportedError, "(1, 3), wanted (2, 3)"),
    "too few scales": (of_weight(CODES, SCALES[:2]), UnsupportedError, "its scales have shape (2,), wanted (3,)"),
    "no such axis": (of_weight(CODES, SCALES, axis=2), UnsupportedError, "axis is 2, block_size 0; its codes have 2"),
    "scales of float16": (of_weight(CODES, SCALES.astype(np.float16)), UnsupportedError, "scales are float16, wanted"),
    **{
        f"code {-(2 ** (bits - 1))}": (
            of_weight(np.full_like(CODES, -(2 ** (bits - 1)), dtype), SCALES),
            UnsupportedError,
            f"a weight code is {-(2 ** (bits - 1))}, wanted {1 - 2 ** (bits - 1)} to {2 ** (bits - 1) - 1}",
        )
        for bits, dtype in {4: ml_dtypes.int4, 8: np.int8, 16: np.int16}.items()
    },
    "scale of a group": (
        of_weight(CODES, np.full((2, 3), 2.0**-25, np.float32), axis=0, block_size=4),
        UnsupportedError,
        "a weight scale lies outside [2^-24, 2^40]",
    ),
    **{
        f"scale {scale}": (
            of_weight(CODES, np.array([0.01, scale, 0.01], np.float32)),
            UnsupportedError,
            "a weight scale lies outside [2^-40, 2^40]",
        )
        for scale in (0.0, -0.01, 1e-13, 2e12, np.nan, np.inf)
    },
    # biases and constants
    "computed bias": (bias_computed, UnsupportedError, "Gemm 'gemm': its bias 'v"),
    "LSTM bias of five values": (lstm_bias_of_shape(1, 5), UnsupportedError, "has shape (1, 5), wanted 64 values"),
    "Gemm bias of five values": (gemm_bias_of_shape(5), UnsupportedError, "has shape (5,), wanted 3 values"),
    "Gemm bias a row": (gemm_bias_of_shape(3, 1), UnsupportedError, "has shape (3, 1), wanted 3 values"),
    "LSTM bias of infinity": (unfinite_lstm_bias, UnsupportedError, "LSTM 'lstm': a constant or bias is not finite"),
    **{
        f"constant {value}": (of_constant("Add", value), UnsupportedError, "is not finite or above 2^60")
        for value in (np.nan, -np.inf, 1.2e18)
    },
    "constant of two values": (of_constant("Add", [1.0, 2.0]), UnsupportedError, "must have one value or 8, along the"),
    "constant a row": (of_constant("Add", np.ones((HIDDEN, 1))), UnsupportedError, "must have one value or 8"),
    "constant matrix": (of_constant("Mul", np.ones((2, HIDDEN))), UnsupportedError, "must have one value or 8"),
    "constant axis": (constant_beside_another_axis, UnsupportedError, "must have one value or 4, along the features"),
    "division by zero": (of_constant("Div", [1.0] * (HIDDEN - 1) + [0.0]), UnsupportedError, "it divides by zero"),
    "division by a tiny value": (of_constant("Div", 1e-30), UnsupportedError, "it divides by zero"),
    # linear layers
    **{
        f"Gemm {key}": (gemm_with(**{key: value}), UnsupportedError, "alpha, beta and transA must be 1, 1 and 0")
        for key, value in {"alpha": 0.5, "beta": 2.0, "transA": 1}.items()
    },
    "features not last": (features_not_last, UnsupportedError, "axes (time, feature, batch), wanted features last"),
    # axes
    "Gather of the first frame": (
        lambda d: d.answer(d.gather(d.layer("x"), 0), None, 0),
        UnsupportedError,
        "it takes index 0 of the time axis, wanted the last frame (-1)",
    ),
    "Gather of a feature": (
        lambda d: d.answer(d.gather(d.layer("x"), -1, axis=2)),
        UnsupportedError,
        "has axes (time, batch), the engine gives time and features",
    ),
    "Gather of a list": (
        lambda d: d.answer(d.gather(d.layer("x"), [-1])),
        UnsupportedError,
        "takes 1 indices of the time axis",
    ),
    "Gather computed": (gather_computed, UnsupportedError, "Gather 'gather': the engine takes constant indices"),
    "Gather of no layer": (layer_that_is_not_there, UnsupportedError, "it takes layer 1 of 1"),
    "Squeeze of time": (
        lambda d: d.answer(d.squeeze(d.layer("x"), 0)),
        UnsupportedError,
        "it removes axes [0] of (time, batch, feature)",
    ),
    "Squeeze without axes": (squeeze_without_axes, UnsupportedError, "it removes axes [] of (time, one, batch, feat"),
    "Squeeze of a weight": (squeeze_of_weight, UnsupportedError, "Squeeze 'squeeze': its input is not a signal"),
    "Split by two": (split_by_two, UnsupportedError, "it splits 4 layers into [2, 2], wanted one each"),
    "Concat of features": (concat_of_states_by_features, UnsupportedError, "its input 'cn' is not a signal"),
    # inputs, outputs, states
    "two inputs": (two_inputs, UnsupportedError, "2 signal inputs, the engine takes one; use backend='onnxruntime'"),
    "two feature axes": (input_of_two_features, UnsupportedError, "axes (time, feature, feature), the engine takes"),
    "no time axis": (input_without_time, UnsupportedError, "input 'x' has axes (feature, batch, feature)"),
    "another time axis": (output_of_another_axis(1), ContractError, "has time axis 1, the graph says 0"),
    "time axis left out": (output_of_another_axis(None), ContractError, "has time axis None, the graph says 0"),
    "time axis of a frame": (last_frame_called_timed, ContractError, "has time axis 0, the graph says None"),
    "answer c": (cell_as_answer, UnsupportedError, "is not a signal the engine can follow"),
    "c into a layer": (cell_into_linear, UnsupportedError, "is not a signal that the engine can follow"),
    "states swapped": (relabelled("c", "h"), ContractError, "does not come from the layers that read"),
    "state from a signal": (relabelled("y", "c"), ContractError, "state output 'v"),
    "state left out": (relabelled("h", "none"), UnsupportedError, "it starts from .*, wanted a state input"),
    "state not connected": (relabelled("x", "c"), ContractError, "is named more than once"),
    "states in another order": (states_joined_in_another_order, ContractError, "does not come from the layers that"),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    build, error, message = REFUSALS[form]
    d = Draft()
    build(d)
    with pytest.raises(ModelError) as caught:
        d.program()
    assert type(caught.value) is error
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 1, "activation_bits": 16}', "version is 1, this tidegate reads 2; quantize the float file again"),
        ('{"version": 3}', "version is 3, this tidegate reads 2"),
        ('{"version": 2}', "activation_bits must give 8 or 16 by weight"),
        ('{"version": 2, "activation_bits": 16}', "activation_bits must give 8 or 16 by weight"),
        ('{"version": 2, "activation_bits": {"W": 4}}', "activation_bits must give 8 or 16 by weight"),
        ('{"version": 2, "activation_bits": {"absent": 8}}', "the graph has no weight 'absent'"),
        *[
            (
                f'{{"version": 2, "activation_bits": {{"W": 8}}, "activation_ranges": {ranges}}}',
                "activation_ranges must",
            )
            for ranges in ("7", '{"W": 0.0}', '{"W": NaN}', '{"W": true}', '{"W": 1e13}', '{"V": 1.0}')
        ],
    ],
)
def test_quantization_that_says_something_else_is_refused(text: str, message: str) -> None:
    d = draft("matmul")
    d.quantization = text
    with pytest.raises(ModelError, match=rf"metadata tidegate\.quantization: {message}"):
        d.program()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"text"', "{}", "[" * 100_000])
def test_quantization_that_is_not_readable_is_refused(text: str) -> None:
    d = draft("matmul")
    d.quantization = text
    with pytest.raises(ModelError, match=r"metadata tidegate\.quantization is not readable; quantize the file again"):
        d.program()


@pytest.mark.parametrize("what", ["input", "state"])
def test_name_of_the_contract_that_the_graph_lacks_is_refused(what: str) -> None:
    d = draft("matmul")
    made = d.graph()
    name = "x" if what == "input" else d.states[0].input
    text = made.metadata(METADATA_KEY) or ""
    made.set_metadata(METADATA_KEY, text.replace(f'"{name}"', '"absent"'))
    with pytest.raises(ContractError, match=f"contract: {what} 'absent' is not an input of the graph"):
        lower(made)


# ---- graphs that look like those that are understood ----


def product_as_output(d: Draft) -> None:
    """A product is an answer and the input of an Add: the bias is the Add's alone."""
    y = d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1))
    d.answer(y)
    d.answer(d.add("Add", y, d.tensor(d.random(3))))


def product_under_another_name(d: Draft) -> None:
    """A product has a second reader that an Identity hides."""
    y = d.add("MatMul", d.layer("x"), d.weights(HIDDEN, 3, axis=1))
    d.answer(d.add("Add", d.add("Identity", y), d.tensor(d.random(3))))
    d.answer(d.add("Mul", y, d.tensor(2.0)))


@pytest.mark.parametrize("build", [product_as_output, product_under_another_name])
def test_bias_is_not_taken_up_by_a_product_that_others_read(build: Build) -> None:
    d = Draft()
    build(d)
    linear = next(op for op in d.program().ops if isinstance(op, Linear))
    assert not np.any(linear.bias)


def same_start(d: Draft) -> None:
    start = d.state()
    d.answer(d.squeeze(d.lstm("x", start=start), 1))
    d.answer(d.squeeze(d.lstm("x", start=start, final=("hn", "cn")), 1))


def dropout_in_training(d: Draft) -> None:
    d.answer(d.add("Dropout", d.layer("x"), d.tensor(0.5), d.tensor(True, np.bool_)))


def directions_as_features(d: Draft) -> None:
    """Y with its axis of directions: onnxruntime answers (frames, 1, hidden), the engine (frames, hidden)."""
    d.answer(d.lstm("x"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (same_start, "LSTM 'lstm2': it starts from entry 0 of 'v0.h', as another node does"),
        (dropout_in_training, r"Dropout 'dropout': it drops values at random \(training_mode may be true\)"),
        (
            directions_as_features,
            r"has axes \(time, one, batch, feature\), the engine gives time and features: squeeze",
        ),
    ],
)
def test_graph_that_means_something_else_is_refused(build: Build, message: str) -> None:
    d = Draft()
    build(d)
    with pytest.raises(UnsupportedError, match=message):
        d.program()
