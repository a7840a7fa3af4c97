"""Proof that the float operators of a file that onnxruntime quantized have the weights of its integer operators.

Each operator runs by itself, on inputs that 8 bits hold exactly. Then the integer operator has no error of activations,
and both must give the same answers.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...runtime.arrays import Array
from ...runtime.errors import ExportError
from ...runtime.graph.graph import Graph
from ...runtime.graph.nodes import attributes, label
from ..graph.editing import remove_dead
from ..graph.recurrent_nodes import MOVES
from ..proof.comparison import peak_error
from ..proof.runner import quiet_session

EXACT = 1e-4  # of the largest value; seen: 1e-6. Codes in another place give more than 0.01
STREAMS = 3
LARGEST = 255  # code of an activation
_X, _H, _C = "x", "h", "c"  # a frame and the states before it


def prove_weights(quantized: bytes, floats: bytes) -> None:
    """Compare each integer operator with the float operator in its place.

    Args:
        quantized: The file.
        floats: The same file with float operators.

    Raises:
        ExportError: The answers of an operator differ, or onnxruntime cannot run it.
    """
    before, after = (Graph(onnx.load_from_string(data)) for data in (quantized, floats))
    for node in after.nodes:
        was = before.producer(node.output[0])
        if was is not None and was.op_type != node.op_type:
            error = _difference(before, was, after, node)
            if error > EXACT:
                raise ExportError(
                    f"{label(was)}: on inputs that 8 bits hold exactly, it differs from the float operator in its "
                    f"place by {error:.2g} of the largest value, wanted at most {EXACT:g}; report this as a fault of "
                    "tidegate"
                )


def _difference(before: Graph, was: onnx.NodeProto, after: Graph, node: onnx.NodeProto) -> float:
    """Return how far the answers of an integer operator and of a float operator are apart."""
    if node.op_type == "Identity":  # after a table
        return peak_error(_floats(after, _table(after, node)), _table_of_codes(before, was))
    weight = _floats(after, node.input[1]).shape
    if node.op_type == "LSTM":
        feeds = _lstm_feeds(weight)
        models = [_one_lstm(graph, node.output) for graph in (after, before)]
    else:
        feeds = {node.input[0]: _on_grid(_input_shape(node, weight))}
        models = [_only(_copy(graph), feeds, node.output) for graph in (after, before)]
    seen, wanted = (
        _run(model, feeds, integers=integers) for model, integers in zip(models, (False, True), strict=True)
    )
    return max(map(peak_error, seen, wanted))


def _floats(graph: Graph, name: str) -> Array:
    """Return a weight as floats, if it is stored in codes too."""
    maker = graph.producer(name)
    if maker is None or maker.op_type != "DequantizeLinear":
        return _constant(graph, name)
    codes, scales = (_constant(graph, read) for read in maker.input[:2])
    shape = [1] * codes.ndim
    if scales.ndim:
        shape[int(attributes(maker).get("axis", 1))] = scales.size
    return codes * scales.reshape(shape)


def _table(graph: Graph, node: onnx.NodeProto) -> str:
    """Return the name of the table that a node looks up."""
    maker = graph.producer(node.input[0])
    while maker is not None and maker.op_type in MOVES and maker.op_type != "Gather":
        maker = graph.producer(maker.input[0])
    return "" if maker is None else maker.input[0]


def _table_of_codes(graph: Graph, node: onnx.NodeProto) -> Array:
    """Return the table, as floats, whose entries a DequantizeLinear scales."""
    codes, scale = _constant(graph, _table(graph, node)), _constant(graph, node.input[1])
    zero = _constant(graph, node.input[2]) if len(node.input) > 2 and node.input[2] else np.int8(0)
    return (codes.astype(np.int32) - zero.astype(np.int32)) * scale


def _constant(graph: Graph, name: str) -> Array:
    values = graph.constant(name)
    if values is None:
        raise ExportError(f"{name!r} is not constant in the quantized file; report this as a fault of tidegate")
    return values


# ---- inputs that 8 bits hold exactly ----


def _on_grid(shape: Sequence[int]) -> Array:
    """Return random values k / 255. The last of each row is 1, so that 1 / 255 is the scale of any rows."""
    codes = np.random.default_rng(0).integers(0, LARGEST + 1, shape)
    codes[..., -1] = LARGEST
    return (codes / LARGEST).astype(np.float32)


def _input_shape(node: onnx.NodeProto, weight: Sequence[int]) -> list[int]:
    """Return a shape that a MatMul or a Conv with this weight takes."""
    if node.op_type == "MatMul":
        return [*weight[:-2], STREAMS, weight[-2]]
    given, kernel = attributes(node), weight[2:]
    spans = [step * (size - 1) for step, size in zip(given.get("dilations", [1] * len(kernel)), kernel, strict=True)]
    return [1, weight[1] * given.get("group", 1), *(span + STREAMS for span in spans)]


def _lstm_feeds(weight: Sequence[int]) -> dict[str, Array]:
    """Return a frame and the states before it, for weights W `[1, 4 * hidden, features]`."""
    sizes = {_X: weight[2], _H: weight[1] // 4, _C: weight[1] // 4}
    return {name: _on_grid((1, STREAMS, size)) for name, size in sizes.items()}


# ---- models of one operator ----


def _one_lstm(graph: Graph, outputs: Sequence[str]) -> onnx.ModelProto:
    """Return a model of the LSTM with these outputs; its inputs are a frame and the states before it."""
    model = _copy(graph)
    alone = next(node for node in model.graph.node if list(node.output) == list(outputs))
    given = [*alone.input, *[""] * 7]
    alone.input[:] = [_X, *given[1:4], "", _H, _C, *given[7 : len(alone.input)]]
    return _only(model, (_X, _H, _C), outputs)


def _copy(graph: Graph) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return model


def _only(model: onnx.ModelProto, inputs: Iterable[str], outputs: Iterable[str]) -> onnx.ModelProto:
    """Return a model, changed, that computes float outputs from float inputs."""
    starts = list(inputs)
    kept = [node for node in model.graph.node if not set(node.output).intersection(starts)]
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(kept)
    model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in starts)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name)
    remove_dead(model)
    return model


def _run(model: onnx.ModelProto, feeds: Mapping[str, Array], *, integers: bool) -> list[Array]:
    """Return the outputs; with integers, no product saturates. That option spoils codes with DequantizeLinear."""
    try:
        session = quiet_session(model.SerializeToString(), exact_integers=integers)
        answers: list[Array] = session.run(None, dict(feeds))
    except Exception as error:  # onnxruntime has no common class of its own
        first = str(error).partition("\n")[0]
        raise ExportError(f"onnxruntime cannot run an operator of the file by itself: {first}") from error
    return answers
