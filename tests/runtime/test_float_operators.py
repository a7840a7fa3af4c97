"""Float operators of ONNX: the engine agrees with onnxruntime on the same graph, and refuses others by name.

Every operator agrees within TOLERANCE of the larger of 1 and the answer: float32 rounding, and for tanh,
sigmoid and erf the error of their formulas (4e-7).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import compile_graph
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import Last, LayerNorm, Operator
from tools.float_graphs import FEATURES, TOLERANCE, Node, check, frames, graph, node


def operators(lowered: Graph) -> list[type[Operator]]:
    return [type(op) for op in lower(lowered).ops]


@pytest.mark.parametrize(
    "operator",
    [
        *("Relu", "Tanh", "Sigmoid", "Erf", "Abs", "Neg", "Gelu", "LeakyRelu", "HardSigmoid", "HardSwish"),
        *("Elu", "Selu", "Celu", "Softplus", "Mish", "Sign", "Softmax", "LogSoftmax", "LpNormalization"),
    ],
)
def test_function_of_one_value(operator: str) -> None:
    check(graph([node(operator, "x")]))


@pytest.mark.parametrize("operator", ["Sqrt", "Log", "Reciprocal", "Exp"])
def test_function_of_positive_values(operator: str) -> None:
    check(graph([node("Abs", "x", "a"), node("Add", "a c", "b"), node(operator, "b")], c=0.01))


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Gelu", {"approximate": "tanh"}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("HardSigmoid", {"alpha": 0.5, "beta": 0.1}),
        ("Elu", {"alpha": 0.3}),
        ("Selu", {"alpha": 0.5, "gamma": 2.0}),
        ("Celu", {"alpha": 2.5}),
        ("Softmax", {"axis": 2}),
        ("LogSoftmax", {"axis": -1}),
        ("LpNormalization", {"axis": 2, "p": 2}),
    ],
)
def test_options_of_a_function(operator: str, attributes: dict[str, Any]) -> None:
    check(graph([node(operator, "x", **attributes)]))


@pytest.mark.parametrize("power", [2.0, 0.5, -1.0, -0.5, 1.5, -2.5, 1 / 3, -0.3, 0.6])
def test_power(power: float) -> None:
    check(graph([node("Abs", "x", "a"), node("Add", "a c", "b"), node("Pow", "b p")], p=power, c=0.5))


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 3.0, 4.0, 7.0])
def test_whole_power_of_values_below_zero(power: float) -> None:
    check(graph([node("Pow", "x p", "a"), node("Neg", "a")], p=power))


@pytest.mark.parametrize("power", [0.5, 0.3, 2.5])
def test_zero_has_powers_above_zero(power: float) -> None:
    assert np.all(check(graph([node("Abs", "x", "a"), node("Pow", "a p")], p=power))[7] == 0)


@pytest.mark.parametrize("base", [2.0, 10.0, 0.5, np.linspace(0.5, 3, FEATURES)])
def test_constant_to_the_power_of_a_value(base: Array) -> None:
    check(graph([node("Pow", "b x")], b=base))


@pytest.mark.parametrize("base", [-2.0, 0.0])
def test_power_of_a_base_that_is_not_positive_is_refused(base: float) -> None:
    with pytest.raises(UnsupportedError, match="neither its exponent is one constant, nor its base constants above 0"):
        lower(graph([node("Pow", "b x")], b=base))


def test_celu_with_an_alpha_below_zero_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"alpha is -1\.0, wanted a number above 0"):
        lower(graph([node("Celu", "x", alpha=-1.0)]))


RMS = np.linspace(0.5, 2, FEATURES)


@pytest.mark.parametrize("attributes", [{}, {"axis": -1, "epsilon": 0.3}, {"axis": 2}])
def test_rms_normalization(attributes: dict[str, Any]) -> None:
    check(graph([node("RMSNormalization", "x s", **attributes)], opset=23, s=RMS))


@pytest.mark.parametrize("power", [True, False])
def test_rms_norm_as_torch_writes_it(power: bool) -> None:
    root = [node("Pow", "b p", "r")] if power else [node("Sqrt", "b", "q"), node("Reciprocal", "q", "r")]
    nodes = [node("Mul", "x x", "a"), node("ReduceMean", "a k", "m"), node("Add", "m e", "b"), *root]
    check(graph([*nodes, node("Mul", "x r", "n"), node("Mul", "n s")], k=[-1], e=1e-5, p=-0.5, s=RMS))


def test_prelu_has_a_slope_a_feature() -> None:
    check(graph([node("PRelu", "x s")], s=np.linspace(-1, 1, FEATURES)))


@pytest.mark.parametrize(("inputs", "bounds"), [("x l h", (-1, 1)), ("x l", (0, 9)), ("x - h", (9, 0.5))])
def test_clip(inputs: str, bounds: tuple[float, float]) -> None:
    check(graph([node("Clip", inputs)], l=float(bounds[0]), h=float(bounds[1])))


def test_clip_to_the_largest_float_bounds_nothing() -> None:
    streaming = graph([node("Clip", "x l h")], l=0.0, h=np.finfo(np.float32).max)
    check(streaming)
    assert len(lower(streaming).ops) == 1


@pytest.mark.parametrize("same", [node("Identity", "x", "a"), node("Dropout", "x", "a"), node("Cast", "x", "a", to=1)])
def test_what_does_nothing_costs_nothing(same: Node) -> None:
    streaming = graph([same, node("Relu", "a")])
    check(streaming)
    assert len(lower(streaming).ops) == 1


def test_silu_and_gelu_as_torch_writes_them() -> None:
    check(graph([node("Sigmoid", "x", "s"), node("Mul", "x s")]))
    gelu = [node("Div", "x r", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d")]
    check(graph([*gelu, node("Mul", "d h")], r=np.sqrt(2.0), one=1.0, h=0.5))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
@pytest.mark.parametrize("constant", [0.7, np.linspace(0.5, 2, FEATURES), np.linspace(0.5, 2, FEATURES)[None, None]])
def test_value_and_constant_on_either_side(operator: str, constant: Array) -> None:
    check(graph([node(operator, "x c")], c=constant))
    check(graph([node("Exp", "x", "e"), node(operator, "c e")], c=constant))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_two_values(operator: str) -> None:
    check(graph([node("Exp", "x", "e"), node(operator, "x e")]))


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("inputs", ["x m", "m x"])
def test_value_of_one_feature_serves_all(operator: str, inputs: str) -> None:
    x = np.abs(frames()) + np.float32(0.1)
    check(graph([node("ReduceMean", "x a", "m"), node(operator, inputs)], a=[-1]), x)


@pytest.mark.parametrize(
    "operator", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"]
)
def test_reduction_by_input_and_by_attribute(operator: str) -> None:
    check(graph([node(operator, "x a")], a=[2]))
    if operator != "ReduceSum":
        check(graph([node(operator, "x", axes=[-1])], opset=17))


def test_reduction_that_drops_its_axis_and_gets_it_back() -> None:
    check(
        graph([node("ReduceMean", "x a", "m", keepdims=0), node("Unsqueeze", "m a", "u"), node("Sub", "x u")], a=[-1])
    )


def test_layer_norm_as_one_node_and_in_pieces() -> None:
    scale, bias = np.linspace(0.5, 2, FEATURES), np.linspace(-1, 1, FEATURES)
    whole = graph([node("LayerNormalization", "x s b", epsilon=1e-3)], s=scale, b=bias)
    assert operators(whole) == [LayerNorm]
    pieces = [
        *(node("ReduceMean", "x a", "m"), node("Sub", "x m", "d"), node("Pow", "d two", "q")),
        *(node("ReduceMean", "q a", "v"), node("Add", "v e", "w"), node("Sqrt", "w", "r"), node("Div", "d r", "n")),
        *(node("Mul", "n s", "g"), node("Add", "g b")),
    ]
    apart = graph(pieces, a=[-1], two=2.0, e=1e-3, s=scale, b=bias)
    np.testing.assert_allclose(check(whole), check(apart), rtol=0, atol=TOLERANCE)


def test_normalize_as_torch_writes_it() -> None:
    nodes = [
        *(node("ReduceL2", "x a", "n"), node("Clip", "n e", "c"), node("Shape", "x", "s")),
        *(node("Expand", "c s", "w"), node("Div", "x w")),
    ]
    seen = check(graph(nodes, a=[-1], e=1e-12))
    assert not np.any(seen[7])  # silence stays silence


def test_batch_norm_folds_into_a_scale_and_a_shift() -> None:
    rng = np.random.default_rng(0)
    parts: dict[str, Any] = {k: rng.uniform(0.5, 2, FEATURES) for k in ("s", "b", "m", "v")}
    nodes = [
        *(node("Transpose", "x", "t", perm=[1, 2, 0]), node("BatchNormalization", "t s b m v", "n")),
        node("Transpose", "n", perm=[2, 0, 1]),
    ]
    check(graph(nodes, **parts))


def test_concat_chains_and_split_undoes_it() -> None:
    check(graph([node("Neg", "x", "n"), node("Exp", "x", "e"), node("Concat", "x n e", axis=-1)]))
    check(graph([node("Split", "x k", "a b", axis=2), node("Concat", "b a", axis=2)], k=[2, 4]))
    check(graph([node("Split", "x", "a b c", axis=-1, num_outputs=3), node("Mul", "a c")]))


@pytest.mark.parametrize(("start", "end", "step"), [(1, 4, 1), (0, 6, 2), (-3, 2**31, 1), (1, -1, 2), (0, 2**31, 1)])
def test_slice_of_features(start: int, end: int, step: int) -> None:
    check(graph([node("Slice", "x s e a t", "c"), node("Relu", "c")], s=[start], e=[end], a=[2], t=[step]))


@pytest.mark.parametrize("index", [[2], [0, 1, 2], [1, 3, 5], [-1]])
def test_gather_of_features(index: list[int]) -> None:
    check(graph([node("Gather", "x i", axis=2)], i=index))


def test_gather_of_one_feature_drops_its_axis() -> None:
    check(graph([node("Gather", "x i", "g", axis=2), node("Unsqueeze", "g a", "u"), node("Mul", "x u")], i=2, a=[-1]))


def test_last_frame_by_slice() -> None:
    nodes = [node("Slice", "x s e a", "l"), node("Squeeze", "l a")]
    streaming = graph(nodes, time_axis=None, s=[-1], e=[2**31], a=[0])
    check(streaming)
    assert operators(streaming) == [Last]


@pytest.mark.parametrize("shape", [[0, 0, FEATURES], [0, -1, FEATURES], [-1, 1, FEATURES], [0, 0, -1]])
def test_reshape_that_keeps_the_axes(shape: list[int]) -> None:
    check(graph([node("Reshape", "x r", "a"), node("Relu", "a")], r=shape))


def test_reshape_to_rows_and_back_by_the_shape() -> None:
    nodes = [
        *(node("Reshape", "x rows", "a"), node("Tanh", "a", "b"), node("Shape", "x", "s")),
        *(node("Gather", "s zero", "t"), node("Unsqueeze", "t zeros", "u"), node("Concat", "u rest", "r", axis=0)),
        node("Reshape", "b r"),
    ]
    check(graph(nodes, rows=[-1, FEATURES], zero=0, zeros=[0], rest=[1, FEATURES]))


def test_halves_cut_by_a_computed_size_as_torch_writes_them() -> None:
    nodes = [
        *(node("Shape", "x", "s"), node("Gather", "s two", "w", axis=0), node("Add", "w one", "v")),
        *(node("Div", "v two", "h"), node("Mul", "h one", "e"), node("Unsqueeze", "e zero", "end")),
        *(node("Slice", "x zero end two_", "a"), node("Relu", "a")),
    ]
    check(graph(nodes, two=2, one=1, zero=[0], two_=[2]))


def test_swapped_axes_do_not_disturb_reductions() -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[2, 0, 1]),
        node("ReduceMax", "t a", "m"),
        node("Transpose", "m", perm=[1, 2, 0]),
    ]
    check(graph(nodes, a=[0]))


def ids_graph(table: Array, nodes: Sequence[Node], **constants: Any) -> Graph:  # noqa: ANN401  any array
    """Return a graph of ids `[time, batch]` -> y."""
    streaming = graph(nodes, table=table, **constants)
    value = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["time", "batch"])
    streaming.model.graph.input[0].CopyFrom(value)
    return Graph(streaming.model)


@pytest.mark.parametrize("operator", ["Tanh", "Softmax"])
def test_embedding_looks_rows_up(operator: str) -> None:
    table = np.random.default_rng(0).normal(0, 1, (9, 5))
    streaming = ids_graph(table, [node("Gather", "table x", "e"), node(operator, "e")])
    ids = np.random.default_rng(1).integers(0, 9, 40)
    wanted = np.asarray(OnnxruntimeModel(streaming).stream().push(ids))
    seen = np.asarray(NativeModel(compile_graph(streaming)).stream().push(ids))
    np.testing.assert_allclose(seen, wanted, rtol=0, atol=TOLERANCE)


def test_quantized_embedding_is_the_table_of_its_codes_and_scales() -> None:
    rng = np.random.default_rng(0)
    codes, scales = rng.integers(-127, 128, (9, 5)).astype(np.int8), rng.uniform(0.01, 1, 9).astype(np.float32)
    nodes = [node("DequantizeLinear", "codes scales", "table", axis=0), node("Gather", "table x")]
    streaming = ids_graph(np.zeros(0), nodes, scales=scales)
    del streaming.model.graph.initializer[0]
    streaming.model.graph.initializer.append(numpy_helper.from_array(codes, "codes"))
    seen = np.asarray(NativeModel(compile_graph(Graph(streaming.model))).stream().push(np.arange(9)))
    np.testing.assert_array_equal(seen, codes.astype(np.float32) * scales[:, None])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Relu", "x")], "the Relu': it computes with the ids 'x'; the engine only looks ids up"),
        (
            [node("Gather", "table x", axis=1)],
            r"the Gather': its table 'table' is \[9, 5\], wanted a constant of two axes",
        ),
    ],
)
def test_ids_that_are_not_looked_up_are_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lower(ids_graph(np.ones((9, 5)), nodes))


REFUSED: list[tuple[list[Node], dict[str, Any], str]] = [
    ([node("Pow", "x x")], {}, "the Pow': neither its exponent is one constant, nor its base constants above 0"),
    ([node("PRelu", "x x")], {}, "the PRelu': its slope is not constant"),
    ([node("Clip", "x x")], {}, "the Clip': its min 'x' is not one constant value"),
    ([node("Div", "x c")], {"c": 0.0}, "the Div': it divides by zero"),
    ([node("Add", "x c")], {"c": [1.0, 2.0]}, r"the Add': its constant \[2\] must have one value or 6"),
    ([node("Add", "x c")], {"c": np.ones((6, 1))}, r"the Add': its constant \[6, 1\] must have one value or 6"),
    ([node("Add", "x c")], {"c": 1e30}, "the Add': a constant or bias is not finite or above"),
    ([node("ReduceSum", "x a")], {"a": [0]}, r"the ReduceSum': it works along axes \[0\] of \(time, batch, feature\)"),
    ([node("ReduceSum", "x")], {}, r"the ReduceSum': it works along axes \[\]"),
    ([node("Softmax", "x", axis=0)], {}, r"the Softmax': it works along axes \[0\]"),
    ([node("LpNormalization", "x", p=1)], {}, "the LpNormalization': p is 1, wanted 2"),
    ([node("LayerNormalization", "x x")], {}, "the LayerNormalization': its input 'x' is not a constant"),
    ([node("RMSNormalization", "x s", axis=1)], {"s": RMS}, r"the RMSNormalization': it works along axes \[1\] of"),
    ([node("RMSNormalization", "x x")], {}, "the RMSNormalization': its input 'x' is not a constant"),
    ([node("Slice", "x s e a")], {"s": [1], "e": [3], "a": [0]}, "the Slice': it cuts the time axis from 1 to 3"),
    ([node("Gather", "x i", axis=2)], {"i": [[0, 1, 4]]}, "the Gather': it takes features by 2 axes of indices"),
    ([node("Gather", "x i", axis=2)], {"i": [6]}, r"the Gather': it takes features \[6\] of 6"),
    ([node("Split", "x k", "y b", axis=0)], {"k": [1, 1]}, "the Split': it splits the time axis, wanted features"),
    ([node("Concat", "x x", axis=0)], {}, "the Concat': it joins along axis 0"),
    ([node("Reshape", "x r")], {"r": [-1]}, r"the Reshape': it turns axes \(time, batch, feature\) with 6 features"),
    ([node("Reshape", "x r")], {"r": [3, -1, 2]}, "the Reshape': it turns axes"),
    ([node("Expand", "x r")], {"r": [1, 7, 6]}, r"the Expand': it widens \(time, batch, feature\) to \[1, 7, 6\]"),
    ([node("Cast", "x", to=onnx.TensorProto.INT32)], {}, "the Cast': it casts to INT32, wanted FLOAT"),
    (
        [node("Gather", "x i", "l"), node("Add", "x l")],
        {"i": -1},
        "the Add': it joins a value of each frame with a value of only the last",
    ),
    ([node("Sum", "x x")], {}, "the Sum': the engine does not have this operator"),
]


@pytest.mark.parametrize(("nodes", "constants", "message"), REFUSED)
def test_what_the_engine_lacks_is_refused_by_name(nodes: list[Node], constants: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lower(graph(nodes, **constants))
