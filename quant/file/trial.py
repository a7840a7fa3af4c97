"""Running a quantized graph once before it is written."""

import numpy as np
from onnx import TensorProto

from ...runtime.arrays import Array
from ...runtime.backends.native import NativeModel
from ...runtime.errors import QuantizationError, UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.lowering.lower import lower
from ...runtime.plan.writer import compile_program
from ...runtime.program import Program
from ...runtime.streams import Model

FRAMES = 20


def program_for_engine(graph: Graph) -> Program | None:
    """Return the graph's program; None if the engine does not have one of its operators."""
    try:
        return lower(graph)
    except UnsupportedError:
        return None


def try_out(graph: Graph, program: Program | None) -> str:
    """Stream noise through a graph and return the backend that ran it.

    Args:
        graph: A quantized graph.
        program: What it lowers to; None: it runs on onnxruntime.

    Raises:
        QuantizationError: An output is not finite.
        BackendError: The engine does not run the graph, and onnxruntime is not installed.
    """
    model = _opened(graph, program)
    answers = model.stream().push(_noise(graph))
    name = model.contract.outputs[0].name
    for output, values in (answers if isinstance(answers, dict) else {name: answers}).items():
        if not np.all(np.isfinite(values)):
            raise QuantizationError(
                f"output {output!r} of the quantized model is not finite on noise; nothing is written"
            )
    return model.backend


def _opened(graph: Graph, program: Program | None) -> Model:
    if program is not None:
        return NativeModel(compile_program(program, graph.contract))
    from ...runtime.backends.onnxruntime import OnnxruntimeModel

    return OnnxruntimeModel(graph)


def _noise(graph: Graph) -> Array:
    """Return frames for the graph's first input: standard normal, or ids of 0, which every table has."""
    kind, port = graph.model.graph.input[0].type.tensor_type, graph.contract.inputs[0]
    if kind.elem_type in (TensorProto.INT32, TensorProto.INT64):
        return np.zeros(FRAMES, np.int64)
    shape = [axis.dim_value for axis in kind.shape.dim]
    features = [size for axis, size in enumerate(shape) if axis not in (port.time_axis, port.batch_axis)]
    return np.random.default_rng(0).standard_normal((FRAMES, *features), np.float32)
