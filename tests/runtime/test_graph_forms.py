"""Every form of graph that the engine understands streams as on onnxruntime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.arrays import Answer, Array, Floats
from tidegate.runtime.load import load
from tidegate.runtime.program import Elementwise, Last, Linear, Lstm
from tools.drafts import FEATURES, HIDDEN, Draft, stacked

TOLERANCE = 2e-4  # 16-bit activations against float ones, on values of order 1; seen: 6e-5


# ---- forms that are understood ----


def batch_first(d: Draft) -> None:
    """Transposes before and after, as with `nn.LSTM(batch_first=True)`."""
    y = d.layer(d.add("Transpose", "x", perm=[1, 0, 2]))
    d.answer(d.add("Transpose", y, perm=[1, 0, 2]), time=1, batch=0)


def batch_first_last_frame(d: Draft) -> None:
    """The answer y[:, -1] of a batch-first model."""
    y = d.layer(d.add("Transpose", "x", perm=[1, 0, 2]))
    d.answer(d.gather(d.add("Transpose", y, perm=[1, 0, 2]), -1, axis=1), time=None, batch=0)


def transpose_of_directions(d: Draft) -> None:
    """Y (time, direction, batch, hidden) transposed before its axis of directions is removed."""
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
    """Before operator set 13, axes and sizes were attributes; later they are inputs."""
    h, c = d.state(2)
    starts = list(zip(d.many("Split", [h], ["h0", "h1"], axis=0), d.many("Split", [c], ["c0", "c1"]), strict=True))
    x = d.add("Unsqueeze", "x", axes=[1])
    y = d.add("Squeeze", d.lstm(x, start=starts[0], final=("hn0", "cn0")), axes=[1])
    y = d.add("Squeeze", d.lstm(y, HIDDEN, start=starts[1], final=("hn1", "cn1")), axes=[1, 2])
    for k in ("h", "c"):
        d.add("Concat", f"{k}n0", f"{k}n1", to=f"{d.states[0].input[:-1]}{k}.out", axis=0)
    d.answer(y, batch=None)


def two_layers_with_one_state_pair(d: Draft) -> None:
    d.answer(stacked(d)[0])


def two_layers_split_by_count(d: Draft) -> None:
    d.answer(stacked(d, num_outputs=2)[0])


def depths(d: Draft) -> None:
    """LSTMs before and after other layers, each with its own states."""
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
    """The bias belongs to only one reader of the product."""
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
    """One constant is added to the frames, another to the LSTM's answer."""

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
    """Operators after the last frame run once per chunk."""
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
    """As in a file whose equal initializers were joined: codes, scales and weights come through Identity."""
    codes = d.add("Identity", d.tensor(d.rng.integers(-127, 128, (HIDDEN, 3)), np.int8))
    weights = d.add("DequantizeLinear", codes, d.add("Identity", d.tensor(np.full(3, 0.01))), axis=1)
    d.answer(d.add("MatMul", d.layer("x"), d.add("Identity", weights)))


def tiny_biases(d: Draft) -> None:
    """1e-30 and subnormal values become zero in the engine, which changes no answer by more than the tolerance."""
    values = np.resize(np.array([1e-30, -1e-30, 1e-40, -1e-45, 0.5], np.float32), 8 * HIDDEN)
    y = d.squeeze(d.lstm("x", B=d.tensor(values[None])), 1)
    y = d.add("MatMul", y, d.weights(HIDDEN, 5, axis=1))
    d.answer(d.add("Add", d.add("Add", y, d.tensor(values[:5])), d.tensor(np.float32(1e-42))))


def without_bias(d: Draft) -> None:
    """An empty name omits an optional input."""
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
    """Answers and states agree with onnxruntime; one chunk and single frames give the engine's same bits."""
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
