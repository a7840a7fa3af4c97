"""The error of a quantized model's answers: it is streamed next to the float model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Answer, Array
from ...runtime.errors import ChunkError, QuantizationError
from ...runtime.graph.graph import Graph
from ...runtime.streams import Model, apart
from ..report.quantization_report import AnswersReport
from .own_signal import forms_of, own_signal, own_static
from .trial import opened

CHUNK = 500  # frames of a push
FAINT = 1e-4  # of an output's loudest answers: fainter answers are not a measure of an error


@dataclass(frozen=True, eq=False)
class Comparison:
    """The float model's answers to a signal.

    Attributes:
        signal: Streams by name, as `push` takes them. Each starts from the initial state.
        exact: The float answers by stream and output, each `[values]`.
    """

    signal: Mapping[str, Array]
    exact: Mapping[str, dict[str, Array]]

    def report(self, model: Model) -> AnswersReport:
        """Return how far the answers of a quantized form of the model are from the float answers.

        Raises:
            QuantizationError: The quantized model refuses a stream that the float model takes.
        """
        by_stream = {name: self._errors(model, name) for name in self.exact}
        levels = {name: rms(list(errors.values())) for name, errors in by_stream.items()}
        worst = by_stream[max(levels, key=lambda name: levels[name])]
        frames = sum(len(self.signal[name]) for name in self.exact)
        return AnswersReport("tidegate's own making", frames, max(levels.values()), worst, levels)

    def _errors(self, model: Model, stream: str) -> dict[str, float]:
        try:
            made = answers(model, self.signal[stream])
        except ChunkError as error:
            raise QuantizationError(
                f"the quantized model refuses {stream}, and the float model does not ({error}); choose more bits, e.g. "
                "W16A16, or give calibration streams"
            ) from None
        for output, values in made.items():
            if not np.all(np.isfinite(values)):
                raise QuantizationError(f"output {output!r} of the quantized model is not finite on {stream}")
        return {output: self._error(values, stream, output) for output, values in made.items()}

    def _error(self, made: Array, stream: str, output: str) -> float:
        faint = FAINT * max(rms(exact[output]) for exact in self.exact.values())
        gap, power = rms(made - self.exact[stream][output]), max(rms(self.exact[stream][output]), faint)
        return gap / power if power else float(gap > 0)


def compare(graph: Graph) -> Comparison | None:
    """Stream the float model on a signal of tidegate's own making.

    Returns:
        The answers; None if the model refuses the whole signal, or its answers to it are not finite.

    Raises:
        BackendError: The engine does not run the float model, and onnxruntime is not installed.
    """
    signal, exact, model = dict[str, Array](), dict[str, dict[str, Array]](), opened(graph)
    for name, noise in own_signal(graph).items():
        for frames in forms_of(noise):
            made = _finite(model, frames)
            if made is not None:
                signal[name], exact[name] = frames, made
                break
    return Comparison(signal, exact) if exact else None


def _finite(model: Model, frames: Array) -> dict[str, Array] | None:
    """Return all answers to a stream; None if the model refuses it, or an answer is not finite."""
    try:
        made = answers(model, frames)
    except ChunkError:  # a value inside leaves its range, or is not finite
        return None
    return made if all(np.all(np.isfinite(values)) for values in made.values()) else None


def answers(model: Model, frames: Array) -> dict[str, Array]:
    """Return all answers of a new stream by output, each float64 `[values]`: the answer to each frame.

    Raises:
        ChunkError: The model refuses a frame.
    """
    stream, outputs = model.stream(own_static(model.contract)), model.contract.outputs
    size = CHUNK if all(output.time_axis is not None for output in outputs) else 1
    made: list[Answer | None] = [
        stream.push(apart(model.contract.pieces, frames[at : at + size])) for at in range(0, len(frames), size)
    ]
    made.append(stream.finish())
    listed = [one if isinstance(one, dict) else {outputs[0].name: one} for one in made if one is not None]
    return {o.name: np.concatenate([one[o.name].ravel() for one in listed]).astype(np.float64) for o in outputs}


def rms(values: Array | list[float]) -> float:
    """Return the root mean square; 0 if there are no values."""
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else 0.0
