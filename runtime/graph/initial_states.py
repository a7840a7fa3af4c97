"""The values that a stream of a graph starts from: initializers that the contract names."""

import numpy as np

from ..arrays import Array
from ..contract import ZEROS, Contract, State, state_arrays
from ..errors import ContractError
from .graph import Graph

TINY, LARGEST = 2.0**-60, 2.0**64


def initial_states(graph: Graph, contract: Contract) -> dict[str, Array]:
    """Return the state of one stream at its start, by the contract's input names.

    Each is float32 in the state's shape for one stream, e.g. `[layers, 1, hidden]`. Magnitudes below 2^-60 become +0,
    as in a state that the engine computes.

    Raises:
        ContractError: The contract names an initializer that the file does not have, or that is not float32, has
            another shape, or holds a value that is not finite or above 2^64.
    """
    named = [state for state in contract.states if state.initial != ZEROS]
    return state_arrays(contract) | {state.input: _values(graph, state) for state in named}


def _values(graph: Graph, state: State) -> Array:
    values, wanted = graph.constant(state.initial), state.concrete_shape()
    where = f"contract: state {state.input!r} starts from {state.initial!r}"
    if values is None:
        raise ContractError(f"{where}, which is no initializer of the file; export the model again")
    if values.dtype != np.float32 or values.shape != wanted:
        raise ContractError(
            f"{where}, which is {values.dtype} {values.shape}, wanted float32 {wanted}; export the model again"
        )
    odd = values[~(np.abs(values) <= LARGEST)]
    if odd.size:
        raise ContractError(f"{where}, which holds {odd[0]}, wanted finite values up to 2^64; train the model again")
    return np.where(np.abs(values) < TINY, np.float32(0), values)
