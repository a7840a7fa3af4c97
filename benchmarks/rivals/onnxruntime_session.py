"""onnxruntime as a stepper: through `run` with a dict, as people write it, and through IOBinding, its best.

Any streaming graph with one signal input will do; chunks come in the graph's own axes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...runtime.arrays import Array
from ...runtime.contract import Contract
from ...runtime.errors import ModelError
from ...runtime.model import state_arrays

Session = Any  # onnxruntime has no types
Step = Callable[[Array], Array]


def steppers(session: Session, contract: Contract, example: Array) -> dict[str, Step]:
    """Return steppers through `IOBinding` and `run`, each with a state of its own, from zero.

    Args:
        session: The session.
        contract: The contract of its graph.
        example: A chunk of the shape that every chunk will have.
    """
    return {"IOBinding": binding_stepper(session, contract, example), "run": run_stepper(session, contract)}


def graph_chunk(contract: Contract, chunk: Array) -> Array:
    """Return a chunk `[frames, features]` with the axes of the graph's input, one stream."""
    port = contract.inputs[0]
    if port.batch_axis is None:
        return np.ascontiguousarray(chunk)
    return np.ascontiguousarray(np.expand_dims(chunk, port.batch_axis))


def run_stepper(session: Session, contract: Contract) -> Step:
    """Return a stepper through `InferenceSession.run`: a dict in, fresh arrays out, states carried by name."""
    names = _output_names(contract)
    signal = _signal_name(contract)
    carried = [state.input for state in contract.states]
    feeds: dict[str, Array] = state_arrays(contract)
    first_state = len(contract.outputs)

    def step(chunk: Array) -> Array:
        feeds[signal] = chunk
        results = session.run(names, feeds)
        feeds.update(zip(carried, results[first_state:], strict=True))
        answer: Array = results[0]
        return answer

    return step


def binding_stepper(session: Session, contract: Contract, example: Array) -> Step:
    """Return a stepper through two IOBindings over the same buffers: what one writes, the other reads.

    Nothing is bound or allocated at a step; the answer is overwritten by the next.
    """
    answers = _answer_buffers(session, contract, example)
    chunk_buffer = np.zeros_like(example)
    states = [state_arrays(contract), state_arrays(contract)]
    bindings = [session.io_binding() for _ in states]
    for binding, now, after in zip(bindings, states, reversed(states), strict=True):
        _bind(binding.bind_input, {_signal_name(contract): chunk_buffer} | now)
        _bind(binding.bind_output, answers | {s.output: after[s.input] for s in contract.states})
    # The public run_with_iobinding only unwraps its argument; a rival gets that tenth of a microsecond too.
    run = session._sess.run_with_iobinding  # noqa: SLF001
    turn, other = (binding._iobinding for binding in bindings)  # noqa: SLF001
    answer = answers[contract.outputs[0].name]

    def step(chunk: Array, _alive: object = (session, bindings, states, answers)) -> Array:
        nonlocal turn, other
        chunk_buffer[...] = chunk
        run(turn, None)
        turn, other = other, turn
        return answer

    return step


def _bind(bind: Callable[..., None], buffers: dict[str, Array]) -> None:
    for name, buffer in buffers.items():
        bind(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)


def _answer_buffers(session: Session, contract: Contract, example: Array) -> dict[str, Array]:
    """Return an array for each output, of the shape that a first run gives."""
    names = [port.name for port in contract.outputs]
    results = session.run(names, {_signal_name(contract): np.zeros_like(example)} | state_arrays(contract))
    return {name: np.zeros_like(result) for name, result in zip(names, results, strict=True)}


def _signal_name(contract: Contract) -> str:
    if len(contract.inputs) != 1:
        raise ModelError(f"{len(contract.inputs)} signal inputs; a stepper takes one")
    return contract.inputs[0].name


def _output_names(contract: Contract) -> list[str]:
    return [port.name for port in contract.outputs] + [state.output for state in contract.states]
