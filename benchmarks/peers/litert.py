"""LiteRT with XNNPACK: the cell unrolled over the chunk, states as inputs and outputs; float32 and dynamic int8.

Its fused LSTM operator keeps its state in variable tensors and takes 2 to 20 times as long: XNNPACK has none.
"""

import os
from pathlib import Path
from typing import Any

from .job import CannotRunError, Floats, Job, Step, Variant

PACKAGES = ("ai_edge_litert.interpreter",)
TOOLS, TOOLS_HOME = ("tensorflow",), "tensorflow"  # its converter has other needs
VARIANTS = (Variant("float32", "Invoke"), Variant("int8", "Invoke"))
MOST_CELLS = 64  # a longer unrolled graph takes minutes to convert


def files(job: Job, variant: Variant) -> list[Path]:
    """Return the flatbuffer."""
    return [job.made(f"litert.{job.steps}.{variant.precision}.tflite")]


def prepare(job: Job, variant: Variant) -> None:
    """Convert the unrolled cells."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    layers = job.weights("LSTM")
    if job.steps * len(layers) > MOST_CELLS:
        raise CannotRunError(f"{job.steps} frames of {len(layers)} layers unrolled are more than {MOST_CELLS} cells")
    import tensorflow as tf

    function, kept = _function(tf, layers, job.steps)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], kept)
    if variant.precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    files(job, variant)[0].write_bytes(converter.convert())


def load(job: Job, variant: Variant) -> Step:
    """Return a stepper that copies states from outputs to inputs, as its API wants it."""
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
    invoke, pairs = interpreter._interpreter.Invoke, list(zip(carried, fresh, strict=True))  # noqa: SLF001  the wrapper checks at every call
    shape = list(inputs[0]["shape"])

    def step(chunk: Floats, _alive: object = interpreter) -> Floats:
        signal()[...] = chunk.reshape(shape)
        invoke()
        for state, new in pairs:
            state()[...] = new()
        found: Floats = answer()
        return found

    return step


def _function(tf: Any, layers: list[tuple[Floats, Floats, Floats, Floats]], frames: int) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the concrete function of the unrolled stack, and what must stay alive."""
    constants = [[tf.constant(a) for a in (w.T, r.T, b + c)] for w, r, b, c in layers]
    hidden = layers[0][1].shape[1]

    def run(x: Any, *states: Any) -> list[Any]:  # noqa: ANN401
        finals: list[Any] = []
        sequence = [x[t] for t in range(frames)]
        for n, (w, r, bias) in enumerate(constants):
            h, c = states[2 * n : 2 * n + 2]
            following = []
            for frame in sequence:
                gates = tf.matmul(frame, w) + tf.matmul(h, r) + bias
                i, f, g, o = tf.split(gates, 4, axis=1)
                c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
                h = tf.sigmoid(o) * tf.tanh(c)
                following.append(h)
            sequence, finals = following, [*finals, h, c]
        return [tf.stack(sequence), *finals]

    names = [f"in{n:02d}" for n in range(1 + 2 * len(layers))]
    sizes = [[frames, 1, layers[0][0].shape[1]], *[[1, hidden]] * (2 * len(layers))]
    specs = [tf.TensorSpec(size, tf.float32, name=name) for size, name in zip(sizes, names, strict=True)]
    holder = tf.Module()
    holder.run = tf.function(run, input_signature=specs)
    return holder.run.get_concrete_function(), holder
