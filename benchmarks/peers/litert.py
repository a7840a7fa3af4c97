"""LiteRT with XNNPACK: the cell unrolled over the chunk, with states as inputs and outputs; float32 and dynamic int8.

LiteRT's fused LSTM operator keeps its state in variable tensors. It takes 2 to 20 times as long, because XNNPACK does
not have it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import unrolled
from .job import Floats, Job, Step, Variant

PACKAGES = ("ai_edge_litert.interpreter",)
TOOLS, TOOLS_HOME = ("tensorflow",), "tensorflow"  # the converter needs other packages
VARIANTS = (Variant("float32", "Invoke"), Variant("int8", "Invoke"))


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the path of the flatbuffer."""
    return [job.made(f"litert.{job.steps}.{variant.precision}.tflite")]


def prepare(job: Job, variant: Variant) -> None:
    """Convert the unrolled cells."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    unrolled.refuse_long(job)
    import tensorflow as tf

    function, kept = _function(tf, job)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], kept)
    if variant.precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    files(job, variant)[0].write_bytes(converter.convert())


def load(job: Job, variant: Variant) -> Step:
    """Return a step function that copies states from outputs to inputs, as the API requires."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(files(job, variant)[0]), num_threads=1, experimental_op_resolver_type=OpResolverType.AUTO
    )
    interpreter.allocate_tensors()
    inputs = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    outputs = sorted(interpreter.get_output_details(), key=lambda detail: (len(detail["name"]), detail["name"]))
    signal, *carried = (interpreter.tensor(detail["index"]) for detail in inputs)
    answer, *fresh = (interpreter.tensor(detail["index"]) for detail in outputs)
    for state in carried:
        state()[...] = 0
    invoke, pairs = interpreter._interpreter.Invoke, list(zip(carried, fresh, strict=True))  # noqa: SLF001  the public method checks its state at every call
    shape = list(inputs[0]["shape"])

    def step(chunk: Floats, _alive: object = interpreter) -> Floats:
        signal()[...] = chunk.reshape(shape)
        invoke()
        for state, new in pairs:
            state()[...] = new()
        found: Floats = answer()
        return found

    return step


def _function(tf: Any, job: Job) -> tuple[Any, Any]:  # noqa: ANN401  a module
    """Return the concrete function of the unrolled stack, and the object that must be kept alive with it."""
    layers, cell = unrolled.layers_of(job), unrolled.cell_of(job)
    functions = unrolled.Functions(tf.sigmoid, tf.tanh, lambda values, parts: tf.split(values, parts, axis=1))
    products = [(_product(tf, layer.w, layer.bias_w), _product(tf, layer.r, layer.bias_r)) for layer in layers]

    def run(x: Any, *states: Any) -> list[Any]:  # noqa: ANN401
        frames = [x[t] for t in range(job.steps)]
        answers, finals = unrolled.unroll(functions, cell, frames, states, products)
        return [tf.stack(answers), *finals]

    sizes = [[job.steps, 1, layers[0].w.shape[1]], *(list(state.shape) for state in unrolled.zeros(job, 1))]
    specs = [tf.TensorSpec(size, tf.float32, name=f"in{n:02d}") for n, size in enumerate(sizes)]
    holder = tf.Module()
    holder.run = tf.function(run, input_signature=specs)
    return holder.run.get_concrete_function(), holder


def _product(tf: Any, weight: Floats, bias: Floats | None) -> Callable[[Any], Any]:  # noqa: ANN401  a module
    matrix, shift = tf.constant(weight.T), None if bias is None else tf.constant(bias)
    return lambda x: tf.matmul(x, matrix) if shift is None else tf.matmul(x, matrix) + shift
