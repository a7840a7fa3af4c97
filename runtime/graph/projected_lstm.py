"""The LSTM with projection in ONNX: a Scan over frames, since ONNX has no operator for it. The body is one step.

The Scan has the values of the standard LSTM: X `[time, batch, features]`, h `[1, batch, projected]`, c
`[1, batch, hidden]` and Y `[time, 1, batch, projected]`. Its weights are values of the outer graph, so that they may
come from `DequantizeLinear`. They have the layout of MatMul, gates in ONNX order i, o, f, c: W `[features, 4 hidden]`,
R `[projected, 4 hidden]`, P `[hidden, projected]`. B `[4 hidden]` is the sum of both biases. The optional V
`[3 hidden]` has the peepholes of the gates i, o, f.
"""

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import TensorProto, helper

from ..cells import ACTIVATIONS, LSTM, PROJECTED_LSTM, Activation, CellOptions
from .cell_options import option_attributes
from .nodes import attributes

WEIGHTS = ("W", "R", "P", "B")
PEEPHOLES = "V"
NUMBERS = ("alpha", "beta")
_INPUTS, _OUTPUTS = "h c x", "next_h next_c y"
_PLACES = ("gate", "candidate", "bound")  # stand for the operator of an activation
_OPERATORS = {name for name in ACTIVATIONS if name not in ("Affine", "ScaledTanh")}  # ONNX has no operator for these

_Step = tuple[str, str, str]  # operator, inputs and outputs


def projected_lstm(
    name: str, inputs: list[str], outputs: list[str], weights: dict[str, str], options: CellOptions = LSTM.plain
) -> onnx.NodeProto:
    """Return the Scan.

    Args:
        name: Name of the node; the names of values in its body begin with it.
        inputs: Names of h, c and X.
        outputs: Names of the last h, the last c and Y.
        weights: Names of W, R, P and B, and with peepholes of V.
        options: Its options. The activations are those that ONNX has an operator for.
    """

    def named(keys: str) -> list[str]:
        return [weights.get(key, f"{name}/{key}") for key in keys.split()]

    def node(op: str, read: str, made: str) -> onnx.NodeProto:
        kind, own = _operator(op, made, options)
        return helper.make_node(kind, named(read), named(made), f"{named(made)[0]}/{kind}", **own)

    steps = _steps(clip=options.clip > 0, coupled=options.coupled, peepholes=PEEPHOLES in weights)
    inside, outside = (
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, None) for end in named(keys)]
        for keys in (_INPUTS, _OUTPUTS)
    )
    body = helper.make_graph([node(*step) for step in steps], f"{name}/step", inside, outside)
    return helper.make_node("Scan", inputs, outputs, name, body=body, num_scan_inputs=1)


def _operator(op: str, made: str, options: CellOptions) -> tuple[str, dict[str, Any]]:
    """Return the ONNX operator of a step and its attributes."""
    if op in _PLACES:
        function = options.activations[_PLACES.index(op)]
        count = len(ACTIVATIONS[function.name][0])
        return function.name, dict(list(zip(NUMBERS, (function.alpha, function.beta), strict=True))[:count])
    constants = {"one": 1.0, "most": options.clip, "least": -options.clip}
    return op, {"value_float": constants[made]} if op == "Constant" else _FIXED.get(made, {})


_FIXED = {
    "i o f g": {"axis": -1, "num_outputs": 4},
    "of_i of_o of_f": {"axis": -1, "num_outputs": 3},
}


def _steps(*, clip: bool, coupled: bool, peepholes: bool) -> list[_Step]:
    """Return the steps of the body, in the words of the plain cell's equations."""

    def sums(gate: str, c: str) -> Iterator[_Step]:
        """Add the peephole of a gate, and clip; the last value is GATE_in, or GATE if there is neither."""
        value = gate
        if peepholes and gate != "g":
            yield "Mul", f"of_{gate} {c}", f"{gate}_of_c"
            yield "Add", f"{gate} {gate}_of_c", f"{gate}_sum"
            value = f"{gate}_sum"
        if clip:
            yield "Clip", f"{value} least most", f"{gate}_clipped"

    def last(gate: str) -> str:
        return f"{gate}_clipped" if clip else f"{gate}_sum" if peepholes and gate != "g" else gate

    output = [*sums("o", "next_c"), ("gate", last("o"), "output_gate")]  # with peepholes it reads the new c
    forget = [("Constant", "", "one"), ("Sub", "one input_gate", "forget_gate")]
    return [
        ("MatMul", "x W", "x_share"),
        ("Add", "x_share B", "x_gates"),
        ("MatMul", "h R", "h_gates"),
        ("Add", "x_gates h_gates", "gates"),
        ("Split", "gates", "i o f g"),
        *([("Split", PEEPHOLES, "of_i of_o of_f")] if peepholes else []),
        *([("Constant", "", "least"), ("Constant", "", "most")] if clip else []),
        *sums("i", "c"),
        *([] if coupled else sums("f", "c")),
        *sums("g", "c"),
        ("gate", last("i"), "input_gate"),
        *([] if peepholes else output),
        *(forget if coupled else [("gate", last("f"), "forget_gate")]),
        ("candidate", last("g"), "candidate"),
        ("Mul", "forget_gate c", "kept"),
        ("Mul", "input_gate candidate", "added"),
        ("Add", "kept added", "next_c"),
        *(output if peepholes else []),
        ("bound", "next_c", "bounded"),
        ("Mul", "output_gate bounded", "output"),
        ("MatMul", "output P", "next_h"),
        ("Identity", "next_h", "y"),
    ]


def with_weights(node: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the Scan of a projected LSTM as a node with the inputs X, W, R, P, B, h, c and perhaps V.

    Its attributes are those of an LSTM with the same options. None for any other node.
    """
    given = attributes(node)
    ends = len(node.input), len(node.output)
    fits = node.op_type == "Scan" and set(given) == {"body", "num_scan_inputs"} and ends == (3, 3)
    found = _matched(given["body"]) if fits and given["num_scan_inputs"] == 1 else None
    if found is None:
        return None
    names, options = found
    h, c, x = node.input
    inputs = [x, *(names[key] for key in WEIGHTS), h, c, *([names[PEEPHOLES]] if PEEPHOLES in names else [])]
    own = option_attributes(LSTM, options)
    return helper.make_node(PROJECTED_LSTM.name, inputs, node.output, node.name, **own)


def _matched(body: onnx.GraphProto) -> tuple[dict[str, str], CellOptions] | None:
    """Return the names in a body by the names in its steps, and its options; None if it computes something else."""
    kinds = [node.op_type for node in body.node]
    steps = _steps(clip="Clip" in kinds, coupled="Sub" in kinds, peepholes=kinds.count("Split") == 2)
    options = _options(body, steps) if len(steps) == len(kinds) and not body.initializer else None
    if options is None:
        return None
    names: dict[str, str] = {}
    for node, (op, read, made) in zip(body.node, steps, strict=True):
        keys, values = [*read.split(), *made.split()], [*node.input, *node.output]
        if len(keys) != len(values) or (node.op_type, attributes(node)) != _operator(op, made, options):
            return None
        if any(names.setdefault(key, value) != value for key, value in zip(keys, values, strict=True)):
            return None
    ends = [[value.name for value in values] for values in (body.input, body.output)]
    same = ends == [[names[key] for key in keys.split()] for keys in (_INPUTS, _OUTPUTS)]
    return (names, options) if same and len(set(names.values())) == len(names) else None


def _options(body: onnx.GraphProto, steps: list[_Step]) -> CellOptions | None:
    """Return the options that a body seems to have, as the first node of each kind has them; None if it has none."""
    first = {
        made if op == "Constant" else op: node
        for node, (op, _, made) in reversed([*zip(body.node, steps, strict=True)])
    }
    functions = [first[place] for place in _PLACES]
    if not {node.op_type for node in functions} <= _OPERATORS:
        return None
    clip = attributes(first["most"]).get("value_float", 0.0) if "most" in first else 0.0
    return CellOptions(tuple(map(_activation, functions)), clip, coupled="one" in first)


def _activation(node: onnx.NodeProto) -> Activation:
    """Return the activation that a node computes."""
    given, defaults = attributes(node), ACTIVATIONS[node.op_type][0]
    return Activation(node.op_type, *(given.get(key, 0.0) for key, _ in zip(NUMBERS, defaults, strict=False)))
