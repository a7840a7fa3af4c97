"""Running a quantized graph once before it is written."""

import numpy as np

from ...runtime.arrays import Answer, Array
from ...runtime.backends.native import NativeModel
from ...runtime.errors import ChunkError, QuantizationError, UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.lowering.lower import lower
from ...runtime.plan.writer import compile_program
from ...runtime.program import Program
from ...runtime.streams import Model, apart
from .own_signal import forms_of, own_signal, own_static

FRAMES = 20


def opened(graph: Graph) -> Model:
    """Return a graph's model on the engine; on onnxruntime if the engine does not have one of its operators.

    Raises:
        BackendError: The engine does not run the graph, and onnxruntime is not installed.
    """
    try:
        return model_of(lower(graph), graph)
    except UnsupportedError:
        from ...runtime.backends.onnxruntime import OnnxruntimeModel

        return OnnxruntimeModel(graph)


def model_of(program: Program, graph: Graph) -> NativeModel:
    """Return a lowered graph's model on the engine."""
    return NativeModel(compile_program(program, graph.contract))


def try_out(graph: Graph, model: Model) -> None:
    """Stream a few frames of noise, or ids, through the model of a quantized graph.

    Raises:
        QuantizationError: An output is not finite.
        ChunkError: The model refuses noise and its magnitudes.
    """
    answers = _pushed(model, next(iter(own_signal(graph).values()))[:FRAMES])
    name = model.contract.outputs[0].name
    for output, values in (answers if isinstance(answers, dict) else {name: answers}).items():
        if not np.all(np.isfinite(values)):
            raise QuantizationError(
                f"output {output!r} of the quantized model is not finite on noise; nothing is written"
            )


def _pushed(model: Model, noise: Array) -> Answer:
    """Return the answers to noise; if the model refuses noise, to its magnitudes."""
    first, second = (apart(model.contract.pieces, frames) for frames in forms_of(noise))
    try:
        return model.stream(own_static(model.contract)).push(first)
    except ChunkError:
        return model.stream(own_static(model.contract)).push(second)
