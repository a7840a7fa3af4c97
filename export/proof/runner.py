"""An ONNX file in onnxruntime on one thread, as a proof runs it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.backends.onnxruntime_session import session_options
from ...runtime.contract import Contract
from ...runtime.errors import ExportError
from ...runtime.graph.graph import Graph
from ...runtime.graph.initial_states import initial_states
from ..optional import need

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
        given: States of one stream that every stream starts from instead of the file's: the static inputs.

    Attributes:
        data: The file.
        contract: The contract.
        given: As above.
    """

    def __init__(
        self, data: bytes, contract: Contract, *, exact_integers: bool = False, given: Answers | None = None
    ) -> None:
        self.contract = contract
        self.data = data
        need("onnxruntime")  # a missing package is no fault of the file
        try:
            self._session = quiet_session(data, exact_integers=exact_integers)
        except Exception as error:  # onnxruntime has no common class of its own
            raise ExportError(f"onnxruntime cannot load the file: {_first_line(error)}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.given = dict(given or {})
        self._initial = initial_states(Graph(onnx.load_from_string(data)), contract) | self.given

    def run(self, x: Array, states: Answers | None = None) -> dict[str, Array]:
        """Run one chunk.

        Args:
            x: The chunk, with the axes of the file's signal.
            states: State inputs by name; a state that is not given is the initial one.

        Returns:
            All outputs by name, state outputs among them.

        Raises:
            ExportError: onnxruntime refuses the chunk.
        """
        port = self.contract.inputs[0]
        batch = 1 if port.batch_axis is None else x.shape[port.batch_axis]
        shapes = {state.input: state.concrete_shape(batch) for state in self.contract.states}
        initial = {name: np.broadcast_to(self._initial[name], shape).copy() for name, shape in shapes.items()}
        try:
            answers = self._session.run(self._outputs, {**initial, **(states or {}), port.name: x})
        except Exception as error:
            raise ExportError(f"onnxruntime cannot run the file: {_first_line(error)}") from error
        return dict(zip(self._outputs, answers, strict=True))

    def carried(self, answers: Answers) -> dict[str, Array]:
        """Return the state inputs of the next chunk."""
        return {state.input: answers[state.output] for state in self.contract.states}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
