"""An ONNX file in onnxruntime on one thread, as a proof runs it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.backends.onnxruntime import OnnxruntimeModel, one_stream
from ...runtime.backends.onnxruntime_session import session_options
from ...runtime.contract import Contract
from ...runtime.errors import ExportError
from ...runtime.graph.graph import Graph
from ..optional import need
from .signals import time_axis_of_one

Answers = Mapping[str, Array]


def quiet_session(data: bytes, *, exact_integers: bool = False) -> Any:  # noqa: ANN401  onnxruntime has no types
    """Open an onnxruntime session that prints nothing; failures raise exceptions.

    Args:
        data: The file.
        exact_integers: Let no product of 8-bit integers saturate. On x86 with AVX2 and without VNNI, onnxruntime adds
            two products of uint8 and int8 in 16 bits, and 255 * 127 * 2 does not fit. With this option it multiplies
            uint8 by uint8 in 32 bits there. Other processors are exact without it.
    """
    runtime = need("onnxruntime")
    options = session_options(runtime)
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1" if exact_integers else "0")
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class Runner:
    """An ONNX file in onnxruntime, its states paired by the contract.

    Args:
        data: The file.
        contract: The contract.
        exact_integers: As in `quiet_session`.

    Attributes:
        data: The file.
        contract: The contract.
    """

    def __init__(self, data: bytes, contract: Contract, *, exact_integers: bool = False) -> None:
        self.contract = contract
        self.data = data
        need("onnxruntime")  # a missing package is no fault of the file
        try:
            self._session = quiet_session(data, exact_integers=exact_integers)
        except Exception as error:  # onnxruntime has no common class of its own
            raise ExportError(f"onnxruntime cannot load the file: {_first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, x: Array, states: Answers | None = None) -> dict[str, Array]:
        """Run one chunk.

        Args:
            x: The chunk, with the axes of the file's signal.
            states: State inputs by name; a state that is not given is zeros.

        Returns:
            All outputs by name, state outputs among them.

        Raises:
            ExportError: onnxruntime refuses the chunk.
        """
        port = self.contract.inputs[0]
        batch = 1 if port.batch_axis is None else x.shape[port.batch_axis]
        zeros = {s.input: np.zeros(s.concrete_shape(batch), np.float32) for s in self.contract.states}
        try:
            answers = self._session.run(self._outputs, {**zeros, **(states or {}), port.name: x})
        except Exception as error:
            raise ExportError(f"onnxruntime cannot run the file: {_first_line(error)}") from error
        return dict(zip(self._outputs, answers, strict=True))

    def stream(self, x: Array, chunks: Sequence[int], *, finished: bool = True) -> dict[str, Array]:
        """Return the outputs, time first, of one stream pushed in chunks, with or without its finish()."""
        port = self.contract.inputs[0]
        one = x if port.batch_axis is None else np.take(x, 0, port.batch_axis)
        frames = np.moveaxis(one, time_axis_of_one(port), 0)
        stream = OnnxruntimeModel(Graph(onnx.load_from_string(self.data))).stream()
        pushed = [stream.push(part) for part in np.split(frames, np.cumsum(chunks)[:-1])]
        rest = stream.finish() if finished else None
        answers = [*pushed, *([] if rest is None else [rest])]
        named = [a if isinstance(a, dict) else {self.contract.outputs[0].name: a} for a in answers]
        found = {}
        for output in self.contract.outputs:
            parts = [answer[output.name] for answer in named]
            newest = [part for part in parts if len(part)] or parts
            found[output.name] = newest[-1] if output.time_axis is None else np.concatenate(parts)
        return found

    def first_stream(self, answers: Answers) -> dict[str, Array]:
        """Return the outputs of the first stream of a batch, time first."""
        return {port.name: one_stream(port, answers[port.name]) for port in self.contract.outputs}

    def carried(self, answers: Answers) -> dict[str, Array]:
        """Return the state inputs of the next chunk."""
        return {state.input: answers[state.output] for state in self.contract.states}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
