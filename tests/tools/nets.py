"""Float streaming graphs that are built layer by layer, for tests of quantization."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State

ROWS = 20  # number of ids of an embedding table


@dataclass
class Net:
    """A float streaming graph to which layers are added; its axes are time, batch, features."""

    rng: np.random.Generator
    width: int
    ids: bool = False
    value: str = "x"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: dict[str, Array] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)  # name: the axis of its inputs

    def __post_init__(self) -> None:
        self.features = self.width

    def weight(self, name: str, shape: tuple[int, ...], inputs: int) -> str:
        """Add a weight with its inputs along a given axis; its output channels are of three sizes: 1, 1/10, 1/100."""
        values = self.rng.normal(0, 0.5 / np.sqrt(shape[inputs]), shape)
        values *= 10.0 ** -self.rng.integers(0, 3, [1 if a == inputs else s for a, s in enumerate(shape)])
        self.tensors[name], self.weights[name] = values.astype(np.float32), inputs
        return name

    def vector(self, name: str, *shape: int) -> str:
        self.tensors[name] = self.rng.normal(0, 0.3, shape).astype(np.float32)
        return name

    def add(self, op: str, inputs: list[str], **attributes: Any) -> None:  # noqa: ANN401
        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [made], **attributes))
        self.value = made

    def embedding(self, width: int) -> None:
        self.add("Gather", [self.weight("table", (ROWS, width), 1), self.value])
        self.width, self.ids = width, True

    def cell(self, op: str, hidden: int, **attributes: Any) -> None:  # noqa: ANN401
        name, gates = f"net{len(self.nodes)}", {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
        kinds = "hc" if op == "LSTM" else "h"
        inputs = [
            self.value,
            self.weight(f"{name}.W", (1, gates * hidden, self.width), 2),
            self.weight(f"{name}.R", (1, gates * hidden, hidden), 2),
            *(self.vector(f"{name}.B", 1, 2 * gates * hidden), "", *(f"{name}.{k}_in" for k in kinds)),
        ]
        outputs = [f"{name}.Y", *(f"{name}.{k}_out" for k in kinds)]
        self.nodes.append(helper.make_node(op, inputs, outputs, hidden_size=hidden, **attributes))
        self.states += [State(f"{name}.{k}_in", f"{name}.{k}_out", k, (1, "batch", hidden)) for k in kinds]
        self.tensors["one"] = np.array([1])
        self.value, self.width = f"{name}.Y", hidden
        self.add("Squeeze", [self.value, "one"])

    def matmul(self, width: int) -> None:
        name = f"net{len(self.nodes)}"
        self.add("MatMul", [self.value, self.weight(f"{name}.weight", (self.width, width), 0)])
        self.add("Add", [self.value, self.vector(f"{name}.bias", width)])
        self.width = width

    def gemm(self, width: int, transposed: int) -> None:
        """Keep only the last frame, because Gemm takes two axes."""
        name, shape = f"net{len(self.nodes)}", (width, self.width) if transposed else (self.width, width)
        self.tensors["last"] = np.array(-1)
        self.add("Gather", [self.value, "last"], axis=0)
        weight = self.weight(f"{name}.weight", shape, 1 if transposed else 0)
        self.add("Gemm", [self.value, weight, self.vector(f"{name}.bias", width)], transB=transposed)
        self.width = width

    def save(self, path: Path, opset: int, *, last: bool) -> None:
        def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, shape)

        first = value("x", ["time", "batch", self.features])
        inputs = [value("x", ["time", "batch"], TensorProto.INT64) if self.ids else first]
        outputs = [value(self.value, (["batch"] if last else ["time", "batch"]) + [self.width])]
        for state in self.states:
            inputs.append(value(state.input, list(state.shape)))
            outputs.append(value(state.output, list(state.shape)))
        tensors = [numpy_helper.from_array(values, name) for name, values in self.tensors.items()]
        graph = helper.make_graph(self.nodes, "net", inputs, outputs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        port = Port(self.value, None, 0) if last else Port(self.value, 0, 1)
        contract = Contract((Port("x", 0, 1),), (port,), tuple(self.states))
        model.metadata_props.append(onnx.StringStringEntryProto(key=METADATA_KEY, value=contract.to_json()))
        onnx.save(model, path)
