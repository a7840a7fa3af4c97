"""The exact answers of a streaming graph, computed in float64. Every peer's answers are compared with them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from ...runtime.arrays import Array
from ...runtime.backends.folded_weights import fold_weights
from ...runtime.contract import Port
from ...runtime.errors import ModelError
from ...runtime.graph.graph import Graph

WIDER: dict[int, int] = {TensorProto.FLOAT: TensorProto.DOUBLE}


def exact_answers(graph: Graph, chunks: list[Array]) -> npt.NDArray[np.float64]:
    """Stream chunks from the zero state through ONNX's reference implementation, with all floats in float64.

    Args:
        graph: A streaming graph. Only its first output is returned.
        chunks: The signal; each chunk is float32 `[frames, features]`.

    Returns:
        The answers in order, float64 `[answers, features]`: one per frame, or one per chunk if the output has no
        time axis.

    Raises:
        ModelError: The reference implementation cannot run the graph.
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
    except Exception as error:  # noqa: BLE001  the reference implementation raises any exception that NumPy has
        raise ModelError(f"no float64 run: {type(error).__name__}: {str(error).partition(chr(10))[0][:100]}") from None
    return np.concatenate(rows)


def with_batch(port: Port, chunk: Array) -> Array:
    """Return a chunk with a batch axis of size 1, if the port has a batch axis."""
    return chunk if port.batch_axis is None else np.expand_dims(chunk, port.batch_axis)


def _doubled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a float model in which every float32 is a float64."""
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
