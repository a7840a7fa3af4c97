"""Stacks of LSTM, GRU or RNN layers: seeded weights, their streaming ONNX file, their exact answers. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...runtime.arrays import Floats
from ...runtime.cells import STANDARD
from ...runtime.contract import METADATA_KEY, Contract, Port, State
from ...runtime.files import write_atomic
from ...runtime.graph.graph import Graph

OPSET, IR_VERSION = 17, 9  # old enough for every runtime measured


@dataclass(frozen=True)
class Case:
    """The sizes of a stack.

    Attributes:
        name: What tables call it.
        features: Features of a frame.
        hidden: Units of a layer.
        layers: Number of layers.
        cell: LSTM, GRU or RNN.
    """

    name: str
    features: int
    hidden: int
    layers: int
    cell: str = "LSTM"

    def __str__(self) -> str:
        stack = f" x{self.layers}" if self.layers > 1 else ""
        return f"{self.name} {self.features}->{self.hidden}{stack}"


CASES = {
    case.name: case
    for case in (Case("A", 40, 128, 1), Case("B", 100, 256, 1), Case("C", 40, 256, 3), Case("D", 256, 512, 2))
}


@dataclass(frozen=True, eq=False)
class Layer:
    """The weights of one layer in PyTorch's layout, with gates in PyTorch's order.

    Attributes:
        w: `weight_ih`, `[gates hidden, features]`.
        r: `weight_hh`, `[gates hidden, hidden]`.
        bias_w: `bias_ih`, `[gates hidden]`.
        bias_r: `bias_hh`, `[gates hidden]`.
        cell: LSTM, GRU or RNN.
    """

    w: Floats
    r: Floats
    bias_w: Floats
    bias_r: Floats
    cell: str = "LSTM"

    @property
    def slots(self) -> str:
        """The kinds of the layer's states: `hc` or `h`."""
        return "".join(state.kind for state in STANDARD[self.cell].states)

    @property
    def hidden(self) -> int:
        """The units of the layer."""
        return int(self.r.shape[1])


def random_layers(case: Case, seed: int = 0) -> list[Layer]:
    """Return weights with the distribution of torch's initial ones: uniform within 1 / sqrt(hidden)."""
    random = np.random.default_rng(seed)
    limit = case.hidden**-0.5

    def draw(*shape: int) -> Floats:
        return random.uniform(-limit, limit, shape).astype(np.float32)

    rows = len(STANDARD[case.cell].gates) * case.hidden
    widths = [case.features, *[case.hidden] * (case.layers - 1)]
    return [Layer(draw(rows, width), draw(rows, case.hidden), draw(rows), draw(rows), case.cell) for width in widths]


def random_frames(case: Case, frames: int, seed: int = 1) -> Floats:
    """Return a signal of standard normal noise, float32 `[frames, features]`."""
    return np.random.default_rng(seed).standard_normal((frames, case.features), np.float32)


def exact_answers(layers: Sequence[Layer], frames: Floats) -> npt.NDArray[np.float64]:
    """Stream frames through stacked LSTMs in float64 from the zero state.

    Args:
        layers: The LSTMs, bottom first.
        frames: float32 `[frames, features]`.

    Returns:
        The answers of the top layer, float64 `[frames, hidden]`.
    """
    values = frames.astype(np.float64)
    for layer in layers:
        gates = values @ layer.w.T.astype(np.float64) + layer.bias_w + layer.bias_r
        values = _exact_layer(gates, layer.r.astype(np.float64))
    return values


def _exact_layer(gates: npt.NDArray[np.float64], r: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    h, c = np.zeros(r.shape[1]), np.zeros(r.shape[1])
    answers = np.empty((len(gates), r.shape[1]))
    for t, row in enumerate(gates):
        i, f, g, o = np.split(row + r @ h, 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        answers[t] = h
    return answers


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def contract(layers: Sequence[Layer], *, sample_rate: float | None = None) -> Contract:
    """Return the contract of a stack's file: `x` and `y` are `[frames, batch, ...]`; each layer has its own states."""
    states = [
        State(f"lstm{n}.{kind}_in", f"lstm{n}.{kind}_out", kind, (1, "batch", layer.hidden))
        for n, layer in enumerate(layers)
        for kind in layer.slots
    ]
    return Contract((Port("x", 0, 1),), (Port("y", 0, 1),), tuple(states), sample_rate=sample_rate)


def streaming_model(
    layers: Sequence[Layer],
    *,
    frames: int | str = "frames",
    batch: int | str = "batch",
    sample_rate: float | None = None,
) -> onnx.ModelProto:
    """Return the float streaming ONNX model of a stack. Its weights are constants; its metadata holds the contract.

    Args:
        layers: The stack, bottom first.
        frames: The size of the time axis; a name leaves the size free.
        batch: The number of streams; a name leaves the number free.
        sample_rate: Frames per second, for the contract.
    """
    agreed = contract(layers, sample_rate=sample_rate)
    shapes: dict[str, list[int | str]] = {
        "x": [frames, batch, int(layers[0].w.shape[1])],
        "y": [frames, batch, layers[-1].hidden],
    }
    for state in agreed.states:
        shapes[state.input] = shapes[state.output] = [batch if s == "batch" else s for s in state.shape]
    graph = helper.make_graph(
        [node for n in range(len(layers)) for node in _nodes(n, layers)],
        "lstm",
        _infos(shapes, ["x", *(s.input for s in agreed.states)]),
        _infos(shapes, ["y", *(s.output for s in agreed.states)]),
        [numpy_helper.from_array(np.array([1]), "direction_axis"), *_initializers(layers)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    Graph(model).set_metadata(METADATA_KEY, agreed.to_json())
    return model


def save_model(layers: Sequence[Layer], path: str | os.PathLike[str], *, sample_rate: float | None = None) -> None:
    """Write the float streaming ONNX file of a stack."""
    write_atomic(path, streaming_model(layers, sample_rate=sample_rate).SerializeToString())


def _infos(shapes: dict[str, list[int | str]], names: Sequence[str]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in names]


def _nodes(n: int, layers: Sequence[Layer]) -> list[onnx.NodeProto]:
    source = "x" if n == 0 else f"y{n - 1}"
    answer = "y" if n == len(layers) - 1 else f"y{n}"
    layer = layers[n]
    inputs = [source, f"w{n}", f"r{n}", f"b{n}", "", *(f"lstm{n}.{kind}_in" for kind in layer.slots)]
    outputs = [f"directions{n}", *(f"lstm{n}.{kind}_out" for kind in layer.slots)]
    form: dict[str, Any] = {**STANDARD[layer.cell].attributes}
    return [
        helper.make_node(layer.cell, inputs, outputs, name=f"lstm{n}", hidden_size=layer.hidden, **form),
        helper.make_node("Squeeze", [f"directions{n}", "direction_axis"], [answer], name=f"squeeze{n}"),
    ]


def _initializers(layers: Sequence[Layer]) -> list[onnx.TensorProto]:
    tensors = []
    for n, layer in enumerate(layers):
        ordered = {name: _onnx_order(getattr(layer, name), layer.cell) for name in ("w", "r", "bias_w", "bias_r")}
        bias = np.concatenate([ordered["bias_w"], ordered["bias_r"]])
        values = {f"w{n}": ordered["w"], f"r{n}": ordered["r"], f"b{n}": bias}
        tensors += [numpy_helper.from_array(value[None], name) for name, value in values.items()]
    return tensors


def _onnx_order(rows: Floats, cell: str) -> Floats:
    """Return the gates of a matrix or bias in ONNX's order in place of PyTorch's."""
    gates = STANDARD[cell].torch_places
    parts = np.split(rows, len(gates))
    return np.concatenate([parts[gate] for gate in gates])
