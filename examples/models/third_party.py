"""The answers of a third-party ONNX file, as its author's own code asks for them: by onnxruntime, frame by frame."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import signals
from cells import Floats
from numpy.typing import NDArray
from signals import Stream

FILES = Path("files")


def made(signal: dict[str, Any]) -> Floats:
    """Return the frames of a signal: `kind` is sound, magnitudes or features, the rest are its sizes."""
    options = dict(signal)
    kind = options.pop("kind")
    if kind == "features":
        return signals.features(**options)
    samples = signals.sound(options.pop("rate"), options.pop("seconds"))
    return {"sound": signals.cut, "magnitudes": signals.magnitudes}[kind](samples, **options)


def values_of(values: dict[str, Any]) -> dict[str, NDArray[np.generic]]:
    """Return the values of inputs that stay the same: integers, or the arrays of .npy files."""
    return {
        name: np.load(FILES / value) if isinstance(value, str) else np.array(value, np.int64)
        for name, value in values.items()
    }


def frame_by_frame(
    file: str,
    signal: dict[str, Any],
    states: dict[str, str],
    *,
    output: str = "",
    context: int = 0,
    values: dict[str, Any] | None = None,
) -> list[Stream]:
    """Return a signal, and the answers of a file that takes a frame and its states per run.

    Args:
        file: The ONNX file; its first input is the signal.
        signal: The signal; see `made`.
        states: The output that feeds each state input; states start from zeros.
        output: The output that is compared; empty: the first.
        context: Values of the frame before that each frame starts with.
        values: Inputs that stay the same.
    """
    session = onnxruntime.InferenceSession(str(FILES / file), providers=["CPUExecutionProvider"])
    first, outputs = session.get_inputs()[0], [found.name for found in session.get_outputs()]
    held = {
        found.name: np.zeros([size if isinstance(size, int) and size else 1 for size in found.shape], np.float32)
        for found in session.get_inputs()
        if found.name in states
    }
    frames, kept, answers = made(signal), values_of(values or {}), []
    tail = np.zeros(context, np.float32)
    for frame in frames:
        whole = np.concatenate([tail, frame])
        tail = whole[len(whole) - context :]
        given = whole.reshape([1] * (len(first.shape) - 1) + [-1])
        found = dict(zip(outputs, session.run(None, {first.name: given, **held, **kept}), strict=True))
        held = {name: found[source] for name, source in states.items()}
        answers.append(found[output or outputs[0]].reshape(-1))
    return [Stream(frames, np.array(answers, np.float64), output=output)]


def whole(file: str, signal: dict[str, Any], length: int) -> list[Stream]:
    """Return signals of some length, a stream for each, and the one answer of a file that takes a signal whole."""
    session = onnxruntime.InferenceSession(str(FILES / file), providers=["CPUExecutionProvider"])
    name, frames = session.get_inputs()[0].name, made(signal)
    parts = [frames[at : at + length] for at in range(0, len(frames) - length + 1, length)]
    answers = [session.run(None, {name: part.reshape(1, -1)})[0][0] for part in parts]
    return [Stream(part, answer.astype(np.float64), last=True) for part, answer in zip(parts, answers, strict=True)]
