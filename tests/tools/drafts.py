"""Streaming graphs node by node, for tests of lowering."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tidegate.quant.rounding.nearest import rounded
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.contract import METADATA_KEY, Contract, Port, State
from tidegate.runtime.errors import ModelError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY, lower
from tidegate.runtime.lowering.trace import ONNXRUNTIME
from tidegate.runtime.program import Program

FEATURES = 4
HIDDEN = 8
SIZES: dict[str, int | str] = {"t": "time", "b": "batch", "f": FEATURES}


@dataclass
class Draft:
    """A streaming graph in the making: methods add a node and return the name of what it makes.

    Attributes:
        axes: What the axes of the input `x` are: t(ime), b(atch), f(eatures).
        int8: Whether weights are int8 codes and scales; else they stay float, for `quantize`.
        opset: Version of the standard operator set.
        part: Whether it is only the part that lowering refuses, which no backend runs.
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
    part: bool = False

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


Build = Callable[[Draft], object]
"""A function that adds the nodes of a graph to a draft."""


def of_lstm(**options: Any) -> Build:  # noqa: ANN401
    """An LSTM with an option."""
    return lambda d: d.answer(d.squeeze(d.lstm("x", **options), 1))


def of_frame(build: Callable[[Draft, str], str]) -> Build:
    """A node behind the last frame (batch, hidden) of an LSTM."""
    return lambda d: d.answer(build(d, d.gather(d.layer("x"), -1)), None, 0)


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


def refuses(build: Build, error: type[ModelError], message: str) -> None:
    """Check that lowering refuses a graph with an error of this very class, and that the way out it names is one."""
    draft = Draft()
    build(draft)
    with pytest.raises(ModelError) as caught:
        draft.program()
    assert type(caught.value) is error
    assert message in str(caught.value)
    if str(caught.value).endswith(ONNXRUNTIME) and not draft.part and is_whole(draft.graph().model):
        runs_on_onnxruntime(draft)


def part(build: Build) -> Build:
    """Return a build of only the part that lowering refuses: no backend runs its draft."""

    def run(draft: Draft) -> object:
        draft.part = True
        return build(draft)

    return run


def is_whole(model: onnx.ModelProto) -> bool:
    """Return whether the types and shapes of a model are valid; some drafts are only the part that is refused."""
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return False
    return True


def runs_on_onnxruntime(draft: Draft) -> None:
    """Stream some frames on onnxruntime."""
    from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel

    stream = OnnxruntimeModel(draft.graph()).stream()
    sizes = [FEATURES if axis == "f" else 3 for axis in draft.axes if axis not in "tb"]
    assert stream.push(np.ones((5, *sizes), np.float32)) is not None


def of_weight(codes: Array, scales: Array, zero: Array | None = None, **attributes: Any) -> Build:  # noqa: ANN401
    """A MatMul with weights as given."""

    def build(d: Draft, y: str) -> str:
        more = [] if zero is None else [d.tensor(zero, zero.dtype)]
        return d.add("MatMul", y, d.dequantize(codes, scales, *more, **attributes))

    return of_frame(build)
