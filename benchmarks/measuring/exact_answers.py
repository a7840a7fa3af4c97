"""A streaming graph in float64: what every contender's answers are held against."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from ...runtime.arrays import Array
from ...runtime.backends.onnxruntime import fold_weights
from ...runtime.contract import Port
from ...runtime.errors import ModelError
from ...runtime.graph.graph import Graph

WIDER: dict[int, int] = {TensorProto.FLOAT: TensorProto.DOUBLE}


def exact_answers(graph: Graph, chunks: list[Array]) -> npt.NDArray[np.float64]:
    """Stream chunks from the initial state by ONNX's own reference implementation, every float a double.

    Args:
        graph: A streaming graph; its first output counts.
        chunks: float32 `[frames, features]` each.

    Returns:
        The answers in order, a row each: one a frame, or for an output without a time axis one a chunk.

    Raises:
        ModelError: The reference implementation does not run the graph.
    """
    from onnx.reference import ReferenceEvaluator

    contract = graph.contract
    port, answer = contract.inputs[0], contract.outputs[0]
    names = [answer.name, *(state.output for state in contract.states)]
    states = {state.input: np.zeros(state.concrete_shape()) for state in contract.states}
    rows = []
    try:
        evaluator = ReferenceEvaluator(_doubled(fold_weights(graph).model))
        for chunk in chunks:
            frames = chunk.astype(np.float64) if chunk.dtype == np.float32 else chunk
            results: Any = evaluator.run(names, {port.name: with_batch(port, frames), **states})
            states = {state.input: value for state, value in zip(contract.states, results[1:], strict=True)}
            rows.append(np.asarray(results[0], np.float64).reshape(-1, results[0].shape[-1]))
    except Exception as error:  # noqa: BLE001  it raises what NumPy does
        raise ModelError(f"no float64 run: {type(error).__name__}: {str(error).partition(chr(10))[0][:100]}") from None
    return np.concatenate(rows)


def with_batch(port: Port, chunk: Array) -> Array:
    """Return a chunk with the axis that counts streams, one of them."""
    return chunk if port.batch_axis is None else np.expand_dims(chunk, port.batch_axis)


def _doubled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a float model with every float a double."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        _widen(tensor)
    for node in copy.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to":
                attribute.i = WIDER.get(attribute.i, attribute.i)
    for value in (*copy.graph.input, *copy.graph.output):
        kind = value.type.tensor_type
        kind.elem_type = WIDER.get(kind.elem_type, kind.elem_type)
    return copy


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
