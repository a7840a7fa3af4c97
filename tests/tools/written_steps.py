"""One step of a recurrent cell, written out in small ONNX operators in many styles."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper
from tidegate.runtime.arrays import Array
from tools.graphs import model_of

FEATURES, HIDDEN = 3, 4
CUTS = ("Split", "Slice", "Gather", "none")  # how the gates of one product come apart; none: a product per gate


@dataclass(frozen=True)
class Style:
    """How a step is written.

    Attributes:
        seed: Of the weights and of the order of the gates in a product.
        cut: One of CUTS.
        joined: Whether x and h are joined before one product.
        gemm: Whether products are Gemm with transposed weights, not MatMul.
        biases: How many biases are added.
        complement: Whether z and 1 - z change places, or f = 1 - i is written i = 1 - f.
        difference: Whether (1 - z) n + z h is written n + z (h - n).
        gates: The activation of the gates.
        new: The activation of the new value.
        last: The activation of an LSTM's cell state.
    """

    seed: int = 0
    cut: str = "Split"
    joined: bool = False
    gemm: bool = False
    biases: int = 1
    complement: bool = False
    difference: bool = False
    gates: str = "Sigmoid"
    new: str = "Tanh"
    last: str = "Tanh"


@dataclass
class Writer:
    """Nodes and weights of a step in the making; inputs x, h and c, outputs h_next and c_next."""

    style: Style
    features: int = FEATURES
    hidden: int = HIDDEN
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.style.seed)

    def add(self, operator: str, *reads: str, **options: object) -> str:
        """Append a node and return its output."""
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(reads), [name], name, **options))  # type: ignore[arg-type]
        return name

    def weight(self, *shape: int) -> str:
        """Append random weights and return their name."""
        return self.constant(self.random.normal(0, 0.6, shape).astype(np.float32))

    def constant(self, values: Array) -> str:
        """Append constants and return their name."""
        name = f"weight_{len(self.tensors)}"
        self.tensors[name] = values
        return name

    def number(self, value: float) -> str:
        """Append one constant and return its name."""
        return self.constant(np.array(value, np.float32))

    def product(self, read: str, weights: str, *, bias: bool) -> str:
        """Append a product with weights `[inputs, outputs]`, and a bias."""
        outputs = self.tensors[weights].shape[1]
        if self.style.gemm:
            transposed = self.constant(np.ascontiguousarray(self.tensors[weights].T))
            return self.add("Gemm", read, transposed, *([self.weight(outputs)] if bias else []), transB=1)
        made = self.add("MatMul", read, weights)
        return self.add("Add", self.weight(outputs), made) if bias else made

    def affine(self, gates: int, *, state: str = "h") -> list[str]:
        """Return what so many gates read: affine forms of x and the state."""
        if self.style.cut == "none":
            return [self._products(self.hidden, state) for _ in range(gates)]
        order = self.random.permutation(gates)
        parts = self._cut(self._products(gates * self.hidden, state), gates)
        return [parts[place] for place in order]

    def _products(self, outputs: int, state: str) -> str:
        biases = self.style.biases
        if self.style.joined:
            joined, inputs = self.add("Concat", "x", state, axis=1), self.features + self.hidden
            return self.product(joined, self.weight(inputs, outputs), bias=biases > 0)
        ours = self.product("x", self.weight(self.features, outputs), bias=biases > 0)
        theirs = self.product(state, self.weight(self.hidden, outputs), bias=biases > 1)
        return self.add("Add", theirs, ours)

    def _cut(self, joined: str, gates: int) -> list[str]:
        size = self.hidden
        if self.style.cut == "Split":
            made = [f"{joined}/{i}" for i in range(gates)]
            self.nodes.append(helper.make_node("Split", [joined], made, f"{joined}/Split", axis=1, num_outputs=gates))
            return made
        if self.style.cut == "Slice":
            bounds = [[np.array([i * size]), np.array([i * size + size]), np.array([-1])] for i in range(gates)]
            return [self.add("Slice", joined, *map(self.constant, bound)) for bound in bounds]
        cube = self.add("Reshape", joined, self.constant(np.array([-1, gates, size])))
        return [self.add("Gather", cube, self.constant(np.array(i)), axis=1) for i in range(gates)]

    def gate(self, read: str) -> str:
        """Append the activation of a gate."""
        return self.activation(self.style.gates, read)

    def activation(self, function: str, read: str) -> str:
        """Append an activation; `hard` is Keras's hard sigmoid in two operators."""
        if function != "hard":
            return self.add(function, read)
        line = self.add("Add", self.add("Mul", read, self.number(0.2)), self.number(0.5))
        return self.add("Clip", line, self.number(0), self.number(1))

    def one_minus(self, read: str) -> str:
        """Append 1 - z."""
        return self.add("Sub", self.number(1), read)

    def model(self, **nexts: str) -> onnx.ModelProto:
        """Return the step, whose next states have these names."""
        for state, name in nexts.items():
            self.nodes.append(helper.make_node("Identity", [name], [f"{state}_next"]))
        shapes = {"x": (1, self.features), "h": (1, self.hidden), "c": (1, self.hidden)}
        read = {name for node in self.nodes for name in node.input}
        inputs = {name: shape for name, shape in shapes.items() if name in read}
        return model_of(self.nodes, inputs, [f"{state}_next" for state in nexts], self.tensors)


def lstm(style: Style, *, coupled: bool = False, peepholes: bool = False) -> onnx.ModelProto:
    """Return a step of an LSTM, whose input and forget gate may be coupled."""
    made = Writer(style)
    reads = made.affine(3 if coupled else 4)

    def seen(read: str, state: str) -> str:
        if not peepholes:
            return read
        return made.add("Add", read, made.add("Mul", state, made.weight(made.hidden)))

    forget = made.gate(seen(reads[0], "c"))
    update = made.one_minus(forget) if coupled else made.gate(seen(reads[3], "c"))
    if coupled and style.complement:
        forget, update = update, forget
    new = made.activation(style.new, reads[1])
    cell = made.add("Add", made.add("Mul", new, update), made.add("Mul", "c", forget))
    output = made.gate(seen(reads[2], cell))
    return made.model(h=made.add("Mul", made.activation(style.last, cell), output), c=cell)


def gru(style: Style, *, before: bool) -> onnx.ModelProto:
    """Return a step of a GRU whose reset gate comes before or after the product with the state."""
    made = Writer(style)
    update, reset = map(made.gate, made.affine(2))
    if before:
        (read,) = made.affine(1, state=made.add("Mul", reset, "h"))
    else:
        ours = made.product("x", made.weight(made.features, made.hidden), bias=style.biases > 0)
        theirs = made.product("h", made.weight(made.hidden, made.hidden), bias=style.biases > 1)
        read = made.add("Add", ours, made.add("Mul", theirs, reset))
    new = made.activation(style.new, read)
    return made.model(h=_mixed(made, update, new))


def _mixed(made: Writer, z: str, new: str) -> str:
    kept, other = (new, "h") if made.style.complement else ("h", new)
    if made.style.difference:
        return made.add("Add", other, made.add("Mul", z, made.add("Sub", kept, other)))
    return made.add("Add", made.add("Mul", z, kept), made.add("Mul", made.one_minus(z), other))


def rnn(style: Style) -> onnx.ModelProto:
    """Return a step of an RNN."""
    made = Writer(style)
    return made.model(h=made.activation(style.new, made.affine(1)[0]))


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a model's inputs."""
    return {item.name: tuple(d.dim_value for d in item.type.tensor_type.shape.dim) for item in model.graph.input}


def states_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return the states of a step and the names of their next values."""
    return {output.name.removesuffix("_next"): output.name for output in model.graph.output}


def node_model(operator: str, attributes: dict[str, Any], weights: dict[str, Array], states: Sequence[str],
               batch: int = 1) -> onnx.ModelProto:  # fmt: skip
    """Return a model of one ONNX cell that takes one frame x `[batch, features]` and states `[batch, hidden]`."""
    names = [name if name in weights else "" for name in ("W", "R", "B")]
    initial = [f"{state}_start" for state in states]
    reads = ["frames", *names, "", *initial, *([""] * (2 - len(initial)))]
    reads += ["P"] if "P" in weights else []
    made = ["", *(f"{state}_last" for state in states)]
    nodes = [helper.make_node("Unsqueeze", ["x", "axis"], ["frames"])]
    nodes += [helper.make_node("Unsqueeze", [state, "axis"], [f"{state}_start"]) for state in states]
    nodes.append(helper.make_node(operator, reads if "P" in weights else reads[: 5 + len(states)], made, "cell",
                                  **attributes))  # fmt: skip # type: ignore[arg-type]
    nodes += [helper.make_node("Squeeze", [f"{state}_last", "axis"], [f"{state}_next"]) for state in states]
    hidden = weights["R"].shape[2]
    inputs = {"x": (batch, weights["W"].shape[2]), **dict.fromkeys(states, (batch, hidden))}
    return model_of(nodes, inputs, [f"{state}_next" for state in states], {**weights, "axis": np.array([0])})


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    """Return the outputs of a model in onnxruntime by name."""
    import onnxruntime

    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), quiet)
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session.run(names, feeds), strict=True))
