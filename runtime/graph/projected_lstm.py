"""The LSTM with projection in ONNX: a Scan over frames, since ONNX has no operator for it. The body is one step.

The Scan has the values of the standard LSTM: X `[time, batch, features]`, h `[1, batch, projected]`, c
`[1, batch, hidden]` and Y `[time, 1, batch, projected]`. Its weights are values of the outer graph, so that they may
come from `DequantizeLinear`. They have the layout of MatMul, gates in ONNX order i, o, f, c: W `[features, 4 hidden]`,
R `[projected, 4 hidden]`, P `[hidden, projected]`. B `[4 hidden]` is the sum of both biases.
"""

from typing import Any

import onnx
from onnx import TensorProto, helper

from ..cells import PROJECTED_LSTM
from .nodes import attributes

WEIGHTS = ("W", "R", "P", "B")
_INPUTS, _OUTPUTS = "h c x", "next_h next_c y"
_STEP = (  # the body; W, R, P and B are values of the outer graph
    ("MatMul", "x W", "x_share"),
    ("Add", "x_share B", "x_gates"),
    ("MatMul", "h R", "h_gates"),
    ("Add", "x_gates h_gates", "gates"),
    ("Split", "gates", "i o f g"),
    ("Sigmoid", "i", "input_gate"),
    ("Sigmoid", "o", "output_gate"),
    ("Sigmoid", "f", "forget_gate"),
    ("Tanh", "g", "candidate"),
    ("Mul", "forget_gate c", "kept"),
    ("Mul", "input_gate candidate", "added"),
    ("Add", "kept added", "next_c"),
    ("Tanh", "next_c", "bounded"),
    ("Mul", "output_gate bounded", "output"),
    ("MatMul", "output P", "next_h"),
    ("Identity", "next_h", "y"),
)
_OPTIONS: dict[str, dict[str, Any]] = {"Split": {"axis": -1, "num_outputs": 4}}


def projected_lstm(name: str, inputs: list[str], outputs: list[str], weights: dict[str, str]) -> onnx.NodeProto:
    """Return the Scan.

    Args:
        name: Name of the node; the names of values in its body begin with it.
        inputs: Names of h, c and X.
        outputs: Names of the last h, the last c and Y.
        weights: Names of W, R, P and B.
    """

    def named(keys: str) -> list[str]:
        return [weights.get(key, f"{name}/{key}") for key in keys.split()]

    nodes = [
        helper.make_node(op, named(read), named(made), f"{named(made)[0]}/{op}", **_OPTIONS.get(op, {}))
        for op, read, made in _STEP
    ]
    inside, outside = (
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, None) for end in named(keys)]
        for keys in (_INPUTS, _OUTPUTS)
    )
    body = helper.make_graph(nodes, f"{name}/step", inside, outside)
    return helper.make_node("Scan", inputs, outputs, name, body=body, num_scan_inputs=1)


def with_weights(node: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the Scan of a projected LSTM as a node with the inputs X, W, R, P, B, h, c; None for any other node."""
    given = attributes(node)
    ends = len(node.input), len(node.output)
    fits = node.op_type == "Scan" and set(given) == {"body", "num_scan_inputs"} and ends == (3, 3)
    names = _matched(given["body"]) if fits and given["num_scan_inputs"] == 1 else None
    if names is None:
        return None
    h, c, x = node.input
    return helper.make_node(PROJECTED_LSTM.name, [x, *(names[key] for key in WEIGHTS), h, c], node.output, node.name)


def _matched(body: onnx.GraphProto) -> dict[str, str] | None:
    """Return the names in a body by the names in _STEP; None if the body computes something else."""
    if [node.op_type for node in body.node] != [op for op, _, _ in _STEP] or body.initializer:
        return None
    names: dict[str, str] = {}
    for node, (op, read, made) in zip(body.node, _STEP, strict=True):
        keys, values = [*read.split(), *made.split()], [*node.input, *node.output]
        if len(keys) != len(values) or attributes(node) != _OPTIONS.get(op, {}):
            return None
        if any(names.setdefault(key, value) != value for key, value in zip(keys, values, strict=True)):
            return None
    ends = [[value.name for value in values] for values in (body.input, body.output)]
    same = ends == [[names[key] for key in keys.split()] for keys in (_INPUTS, _OUTPUTS)]
    return names if same and len(set(names.values())) == len(names) else None
