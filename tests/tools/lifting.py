"""Lifted files in tests: written, proved, and streamed next to the file that they came from."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tidegate
from tidegate.export import LiftReport, lift
from tidegate.runtime.arrays import Array

NATIVE = 2e-6  # the engine with float weights against onnxruntime, for answers of about 1; seen: 6e-7


def lifted(folder: Path, model: onnx.ModelProto, **options: object) -> LiftReport:
    """Write a model as `foreign.onnx` and lift it to `out.onnx`."""
    onnx.save(model, folder / "foreign.onnx")
    return lift(folder / "foreign.onnx", folder / "out.onnx", **options)  # type: ignore[arg-type]


def original(folder: Path, x: Array) -> Array:
    """Return the first answer of `foreign.onnx`."""
    session = onnxruntime.InferenceSession(folder / "foreign.onnx", providers=["CPUExecutionProvider"])
    answers: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return answers


def streamed(path: Path, frames: Array, chunk: int, backend: str = "native") -> Array:
    """Return all answers to frames of one stream that are pushed some at a time."""
    stream = tidegate.load(path, backend).stream()  # type: ignore[arg-type]
    answers = [stream.push(frames[i : i + chunk]) for i in range(0, len(frames), chunk)]
    arrays = [answer for answer in [*answers, stream.finish()] if isinstance(answer, np.ndarray)]
    return np.concatenate([np.atleast_2d(answer) for answer in arrays if answer.size])


def assert_streams_as(folder: Path, frames: Array, wanted: Array, backend: str = "native") -> None:
    """Push frames 1, 7 and all at a time through `out.onnx`: the same bits each time, those that are wanted.

    Args:
        folder: The folder of `out.onnx`.
        frames: The frames of one stream, time first.
        wanted: The answer to each frame, or only that after the last.
        backend: The backend; only the engine has the same bits in each chunking.
    """
    seen = [streamed(folder / "out.onnx", frames, chunk, backend)[-len(wanted) :] for chunk in (1, 7, len(frames))]
    for other in seen[1:] if backend == "native" else ():
        np.testing.assert_array_equal(seen[0], other)
    np.testing.assert_allclose(seen[0], wanted, rtol=0, atol=NATIVE * max(1.0, float(np.abs(wanted).max())))
