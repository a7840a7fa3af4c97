"""Foreign files: ONNX files in the form of other converters and exporters, made by hand."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Dims = Sequence[int | str | None]


class ForeignFile:
    """A graph under construction: each method adds a part and returns the name of its output.

    Args:
        opset: Version of the standard operator set.
        seed: Seed of the weights.
    """

    def __init__(self, opset: int = 15, seed: int = 0) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def add(self, op: str, inputs: Sequence[str], *outputs: str, **options: Any) -> str:  # noqa: ANN401  attributes
        outputs = outputs or (f"{op.lower()}_{len(self.nodes)}",)
        name = options.pop("name", f"{op}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), name, **options))
        return outputs[0]

    def constant(self, values: object, name: str = "") -> str:
        name = name or f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, *shape: int, name: str = "") -> str:
        return self.constant((self.rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32), name)

    def input(self, name: str, dims: Dims, kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        return name

    def output(self, name: str, dims: Dims | None = None) -> str:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        return name

    def cell(
        self,
        op: str,
        x: str,
        features: int,
        hidden: int,
        start: Sequence[str] = (),
        **options: Any,  # noqa: ANN401
    ) -> list[str]:
        """Add a recurrent node; return the names of Y, Y_h and, for an LSTM, Y_c."""
        rows = GATES[op] * hidden
        weights = [self.weight(1, rows, features), self.weight(1, rows, hidden), self.weight(1, 2 * rows)]
        outputs = [f"{op}_{len(self.nodes)}_{letter}" for letter in ("Y", "Y_h", "Y_c")[: 3 if op == "LSTM" else 2]]
        self.add(op, [x, *weights, "", *start], *outputs, hidden_size=hidden, **options)
        return outputs

    def axes(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def squeezed(self, value: str, *axes: int) -> str:
        return self.add("Squeeze", [value, self.axes(*axes)])

    def head(self, value: str, hidden: int, out: int, name: str) -> str:
        """Add a linear layer with a given output name."""
        product = self.add("MatMul", [value, self.weight(hidden, out)])
        return self.add("Add", [product, self.weight(out)], name)

    def model(self, **metadata: str) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "foreign", self.inputs, self.outputs, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def keras(op: str = "LSTM", *, batch: int | str = "unk__8", sequences: bool = True) -> onnx.ModelProto:
    """Return a Keras LSTM or GRU(reset_after=True) and Dense, in the form of tf2onnx: x `[batch, time, 5]`.

    With a number as batch the state starts from constant zeros; else the file makes zeros of the batch's size.
    """
    file = ForeignFile(13)
    x = file.add("Transpose", [file.input("args_0", [batch, None, 5])], perm=[1, 0, 2], name="model/lstm/transpose")
    if isinstance(batch, int):
        start = [file.constant(np.zeros((1, batch, 8), np.float32))] * (2 if op == "LSTM" else 1)
    else:
        size = file.add("Slice", [file.add("Shape", ["args_0"]), file.axes(0), file.axes(1), file.axes(0)])
        shape = file.add("Concat", [file.axes(1), size, file.axes(8)], axis=0)
        zeros = file.add("ConstantOfShape", [shape], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [0.0]))
        start = [zeros] * (2 if op == "LSTM" else 1)
    options = {"direction": "forward", **({"linear_before_reset": 1} if op == "GRU" else {})}
    y, last, *_ = file.cell(op, x, 5, 8, start, name=f"model/{op.lower()}/{op}", **options)
    y = file.add("Transpose", [file.squeezed(y, 1)], perm=[1, 0, 2]) if sequences else file.squeezed(last, 0)
    file.output(file.head(y, 8, 3, "dense"), [batch, None, 3] if sequences else [batch, 3])
    return file.model()


def torch_zeros(op: str = "LSTM", *, batch: int | str = "batch", layers: int = 2, factor: float = 0) -> onnx.ModelProto:
    """Return nn.LSTM(batch_first=True), as torch.onnx.export writes it: x `[batch, time, 5]`.

    Its states start from `factor` times 1, 2, ... in each layer.
    """
    first = factor * np.arange(1, layers * 6 + 1, dtype=np.float32).reshape(layers, 1, 6)
    file = ForeignFile(17)
    value = file.add("Transpose", [file.input("input", [batch, "time", 5])], perm=[1, 0, 2])
    if isinstance(batch, int):
        zeros = file.constant(first.repeat(batch, 1))
    else:
        size = file.add("Gather", [file.add("Shape", ["input"]), file.constant(np.int64(0))], axis=0)
        size = file.add("Unsqueeze", [size, file.axes(0)])
        zeros = file.add("Expand", [file.constant(first),
                                    file.add("Concat", [file.axes(layers), size, file.axes(6)], axis=0)])  # fmt: skip
    for layer in range(layers):
        start = file.add("Slice", [zeros, file.axes(layer), file.axes(layer + 1), file.axes(0)])
        starts = [start] * (2 if op == "LSTM" else 1)
        options = {"linear_before_reset": 1} if op == "GRU" else {}
        y, *_ = file.cell(op, value, 5 if layer == 0 else 6, 6, starts, name=f"/rnn/{op}_{layer}", **options)
        value = file.squeezed(y, 1)
    file.output(file.head(file.add("Transpose", [value], perm=[1, 0, 2]), 6, 3, "output"), [batch, "time", 3])
    return file.model()


def with_states(
    names: Sequence[tuple[str, str]] = (("h0", "hn"), ("c0", "cn")),
    op: str = "LSTM",
    *,
    layers: int = 2,
    hidden: Sequence[int] = (6, 6),
    batch: int | str = "batch",
) -> onnx.ModelProto:
    """Return a stack with named states `[layers, batch, hidden]` as inputs and outputs: x `[time, batch, 5]`."""
    file = ForeignFile(17)
    value = file.input("x", ["time", batch, 5])
    for source, _ in names:
        file.input(source, [layers, batch, hidden[0]])
    file.output("y", ["time", batch, 3])
    finals: list[list[str]] = [[] for _ in names]
    for layer in range(layers):
        index = [file.axes(layer), file.axes(layer + 1), file.axes(0)]
        starts = [file.add("Slice", [source, *index]) for source, _ in names]
        options = {"linear_before_reset": 1} if op == "GRU" else {}
        y, *last = file.cell(op, value, 5 if layer == 0 else 6, 6, starts, **options)
        value = file.squeezed(y, 1)
        for parts, final in zip(finals, last, strict=True):
            parts.append(final)
    for parts, (_, target) in zip(finals, names, strict=True):
        file.add("Concat", parts, target, axis=0)
        file.output(target, [layers, batch, hidden[0]])
    file.head(value, 6, 3, "y")
    return file.model()


def dtln(layers: int = 2, features: int = 9, units: int = 8) -> onnx.ModelProto:
    """Return a file like DTLN's model_1.onnx: one frame per run; one state `[1, layers, units, 2]` has h and c."""
    file = ForeignFile(12)
    magnitude = file.input("input_2", [1, 1, features])
    state = file.input("input_3", [1, layers, units, 2])
    file.output("activation_2", [1, 1, features])
    value = file.add("Transpose", [magnitude], perm=[1, 0, 2])
    parts = []
    for layer in range(layers):
        own = file.add("Gather", [state, file.constant(np.int64(layer))], axis=1)  # [1, units, 2]
        starts = []
        for kind in range(2):
            part = file.add("Gather", [own, file.constant(np.int64(kind))], axis=2)  # [1, units]
            starts.append(file.add("Unsqueeze", [part], axes=[0]))
        y, h, c = file.cell("LSTM", value, features if layer == 0 else units, units, starts)
        value = file.add("Squeeze", [y], axes=[1])
        pair = [file.add("Unsqueeze", [file.add("Squeeze", [final], axes=[0])], axes=[2]) for final in (h, c)]
        parts.append(file.add("Unsqueeze", [file.add("Concat", pair, axis=2)], axes=[1]))
    file.add("Concat", parts, "tf_op_layer_stack_2", axis=1)
    file.output("tf_op_layer_stack_2", [1, layers, units, 2])
    mask = file.add("Add", [file.add("MatMul", [value, file.weight(units, features)]), file.weight(features)])
    file.add("Transpose", [file.add("Sigmoid", [mask])], "activation_2", perm=[1, 0, 2])
    return file.model()


def one_frame(op: str = "LSTM", *, batch: int | str = "N") -> onnx.ModelProto:
    """Return a file for one frame `[N, 5]` per run; states `[1, N, 6]` are inputs and outputs."""
    file = ForeignFile(17)
    x = file.add("Unsqueeze", [file.input("frame", [batch, 5]), file.axes(0)])
    kinds = ("h", "c") if op == "LSTM" else ("h",)
    starts = [file.input(f"{kind}_prev", [1, batch, 6]) for kind in kinds]
    options = {"linear_before_reset": 1} if op == "GRU" else {}
    _, *finals = file.cell(op, x, 5, 6, starts, **options)
    file.output(file.head(file.squeezed(finals[0], 0), 6, 3, "logits"), [batch, 3])
    for kind, final in zip(kinds, finals, strict=True):
        file.output(file.add("Identity", [final], f"{kind}_next"), [1, batch, 6])
    return file.model()


def quantized(folder: Path, model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:  # noqa: ANN401  of onnxruntime
    """Return a model after onnxruntime's quantize_dynamic."""
    from onnxruntime.quantization import quantize_dynamic

    onnx.save(model, folder / "float.onnx")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # else it warns that the model is not pre-processed
    quantize_dynamic(folder / "float.onnx", folder / "quantized.onnx", **options)
    logging.root.setLevel(level)
    return onnx.load(folder / "quantized.onnx")


def loud() -> onnx.ModelProto:
    """Return a file whose recurrent weights make any error grow from frame to frame."""
    model = torch_zeros(layers=1)
    recurrent = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [1, 24, 6])
    recurrent.CopyFrom(numpy_helper.from_array(10 * numpy_helper.to_array(recurrent), recurrent.name))
    return model


def tagger() -> onnx.ModelProto:
    """Return a table of ids `[batch, time]`, an LSTM, a convolution of one frame: answers `[batch, 3, time]`."""
    file = ForeignFile(17)
    ids = file.input("ids", ["batch", "time"], TensorProto.INT64)
    x = file.add("Transpose", [file.add("Gather", [file.weight(50, 5), ids], axis=0)], perm=[1, 0, 2])
    y, *_ = file.cell("LSTM", x, 5, 6)
    y = file.add("Transpose", [file.squeezed(y, 1)], perm=[1, 2, 0])
    file.output(
        file.add("Conv", [y, file.weight(3, 6, 1), file.weight(3)], "tags", kernel_shape=[1]), ["batch", 3, "time"]
    )
    return file.model()
