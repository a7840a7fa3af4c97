"""The watch net in TFLite Micro (PyPI's `tflite-micro`): bytes of its model and arena, accuracy.

    bash benchmarks/peers/install.sh build/peers
    build/peers/tensorflow/bin/python tests/devices/tflm.py ../shared/data/watch_imu

TensorFlow's converter quantizes Keras' fused LSTMs to int8 (h of 8 bits, c of 16). It calibrates on the same subject as
tidegate. One invocation takes one frame, and the interpreter keeps the state. This program does not import tidegate,
because TensorFlow has its own environment.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FIRST, INTERVAL = 99, 10  # decisions, as in tasks/watch.py
CALIBRATION, TEST = (7,), (8, 9, 10)  # subjects
LAYERS, UNITS, FEATURES, CLASSES = 2, 64, 6, 7

Array = np.ndarray[Any, np.dtype[Any]]


def recordings(data: Path, subjects: tuple[int, ...], weights: dict[str, Array]) -> Iterator[tuple[Array, int]]:
    """Yield the standardized frames `[frames, 6]` and the label of each recording of the given subjects."""
    with np.load(data / "watch_imu.npz") as file:
        x, offsets, label, subject = (file[key] for key in ("x", "offsets", "label", "subject"))
    for i in np.flatnonzero(np.isin(subject, subjects)):
        yield (x[offsets[i] : offsets[i + 1]] - weights["mean"]) / weights["std"], int(label[i])


def converted(weights: dict[str, Array], calibration: list[Array]) -> bytes:
    """Return the net as an int8 flatbuffer that takes one frame per call."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_USE_LEGACY_KERAS": "1"}
    import tensorflow as tf
    import tf_keras as keras

    y = given = keras.Input(batch_shape=(1, 1, FEATURES))
    layers = [keras.layers.LSTM(UNITS, return_sequences=True) for _ in range(LAYERS)] + [keras.layers.Dense(CLASSES)]
    for layer in layers:
        y = layer(y)
    for n, layer in enumerate(layers[:-1]):  # the gates have PyTorch's order: i, f, g, o
        w, r, *biases = (weights[f"lstm.{key}_l{n}"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        layer.set_weights([w.T, r.T, sum(biases)])
    layers[-1].set_weights([weights["fc.weight"].T, weights["fc.bias"]])
    model = keras.Model(given, y)
    run = tf.function(lambda x: model(x, training=False))
    with tempfile.TemporaryDirectory() as saved:
        shape = tf.TensorSpec([1, 1, FEATURES], tf.float32)
        tf.saved_model.save(model, saved, signatures=run.get_concrete_function(shape))
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        frames = np.concatenate(calibration).astype(np.float32)
        converter.representative_dataset = lambda: ([frame[None, None]] for frame in frames)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())


def arena_bytes(interpreter: Any) -> int:  # noqa: ANN401  of tflite-micro
    """Return the used bytes of the arena, which the interpreter prints to standard error."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        interpreter.print_allocations()
        os.dup2(kept, 2)
        printed.seek(0)
        found = re.search(rb"Arena allocation total (\d+) bytes", printed.read())
    if found is None:
        raise RuntimeError("tflite-micro prints no arena")
    return int(found[1])


def answers(interpreter: Any, frames: Array) -> Array:  # noqa: ANN401
    """Return the class for each frame of a recording; the state starts at zeros and is carried."""
    ends = interpreter.get_input_details(0)["quantization_parameters"]
    codes = np.clip(np.rint(frames / ends["scales"][0]) + ends["zero_points"][0], -128, 127).astype(np.int8)
    interpreter.reset()
    said = np.empty(len(codes), np.int64)
    for t, frame in enumerate(codes):
        interpreter.set_input(frame[None, None], 0)
        interpreter.invoke()
        said[t] = interpreter.get_output(0).argmax()
    return said


def in_floats(weights: dict[str, Array], frames: Array) -> Array:
    """Return the classes of the float net, computed by the equations of torch's LSTM."""
    y = frames
    for n in range(LAYERS):
        w, r, *biases = (weights[f"lstm.{key}_l{n}"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        of_x, h, c, made = y @ w.T + sum(biases), np.zeros(UNITS), np.zeros(UNITS), np.empty((len(y), UNITS))
        for t in range(len(y)):
            i, f, g, o = np.split(of_x[t] + r @ h, 4)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
            made[t] = h
        y = made
    said: Array = (y @ weights["fc.weight"].T + weights["fc.bias"]).argmax(1)
    return said


def main() -> None:
    """Print the sizes and accuracies."""
    from safetensors.numpy import load_file
    from tflite_micro.python.tflite_micro import runtime

    data = Path(sys.argv[1])
    weights = load_file(data / "watch_lstm64x2.safetensors")
    model = converted(weights, [frames for frames, _ in recordings(data, CALIBRATION, weights)])
    interpreter = runtime.Interpreter.from_bytes(model)
    test = list(recordings(data, TEST, weights))
    made = [answers(interpreter, frames)[FIRST::INTERVAL] for frames, _ in test]
    exact = [in_floats(weights, frames)[FIRST::INTERVAL] for frames, _ in test]
    labels = np.concatenate([np.full(len(said), label) for said, (_, label) in zip(made, test, strict=True)])
    said, wanted = np.concatenate(made), np.concatenate(exact)
    print(f"model {len(model):,} bytes, arena {arena_bytes(interpreter):,} bytes (64-bit machine)")
    print(f"accuracy {np.mean(said == labels):.4f}, in floats {np.mean(wanted == labels):.4f}; {len(said)} decisions")
    print(f"changed from floats {100 * np.mean(said != wanted):.2f} %")


if __name__ == "__main__":
    main()
