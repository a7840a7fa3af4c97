"""One step of a graph, written out in small operators, as the ONNX cell that computes the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.arrays import Floats
from ...runtime.errors import UnsupportedError
from ...runtime.graph.graph import Graph
from ...runtime.graph.projected_lstm import PEEPHOLES
from .gates import Variables
from .matching import Matched, match_gru, match_lstm, match_rnn
from .small_operators import Step
from .sums import Sum


@dataclass(frozen=True)
class WrittenCell:
    """A step that is one step of an ONNX cell.

    Attributes:
        operator: `LSTM`, `GRU` or `RNN`.
        attributes: Those of the node that differ from ONNX's defaults, and hidden_size.
        weights: By ONNX's names, float32: W `[1, gates * hidden, signal]`, R, B, and P if it has peepholes. The columns
            of W are the values of the signals, one signal after another.
        projection: `[projected, hidden]`, float32, of an LSTM whose hidden state is projected; else None.
        states: The names of the states that it starts from: h, and c for an LSTM.
    """

    operator: str
    attributes: dict[str, Any]
    weights: dict[str, Floats]
    projection: Floats | None
    states: tuple[str, ...]

    def in_scan(self) -> dict[str, Floats]:
        """Return the weights of an LSTM with projection as `runtime.graph.projected_lstm` takes them."""
        w, r, b = (self.weights[key][0] for key in "WRB")
        found = {"W": w.T, "R": r.T, "P": np.transpose(self.projection), "B": b.reshape(2, -1).sum(0)}  # type: ignore[arg-type]
        found |= {PEEPHOLES: self.weights["P"][0]} if "P" in self.weights else {}
        return {key: np.ascontiguousarray(values) for key, values in found.items()}


def recognize(graph: Graph, shapes: Mapping[str, tuple[int, ...]], states: Mapping[str, str]) -> WrittenCell:
    """Return the LSTM, GRU or RNN that computes the next states of a step.

    The operators of the step are run on sums of products (see `sums`), so their order, the order of the gates, split or
    merged weights and biases and the convention of the update gate do not matter.

    Args:
        graph: A graph that computes one step; values that follow from constants need not be folded.
        shapes: The shape of each signal and of each state for one stream (a batch of 1). A step may have several
            signals; no value before a signal or state is looked at.
        states: For each state the name of its next value.

    Raises:
        UnsupportedError: The step is no LSTM, GRU or RNN; the message names the value that does not fit.
    """
    if not 1 <= len(states) <= 2:
        raise UnsupportedError(f"{len(states)} states ({', '.join(states)}) depend on each other, wanted 1 or 2")
    step = Step(graph, shapes)
    following = {name: step.sums(output) for name, output in states.items()}
    own = {name: {step.atoms.variable(name, i): i for i in range(_size(shapes[name]))} for name in states}
    for name, sums in following.items():
        if len(sums) != len(own[name]):
            raise UnsupportedError(f"{states[name]!r} has {len(sums)} values for {len(own[name])} of {name!r}")
    signals = [(name, i) for name, shape in shapes.items() if name not in states for i in range(_size(shape))]
    x = {step.atoms.variable(*one): place for place, one in enumerate(signals)}
    adding = [name for name, sums in following.items() if _adds(sums, own[name])]
    order = sorted(states, key=adding.__contains__)  # an LSTM adds to c, and makes h anew
    variables = Variables(x, own[order[0]], own[order[1]] if len(order) > 1 else {})
    matcher = match_lstm if len(order) > 1 else match_gru if adding else match_rnn
    try:
        found: Matched = matcher(step.atoms, variables, *(following[name] for name in order))
    except UnsupportedError as error:
        kind = matcher.__name__.removeprefix("match_").upper()
        raise UnsupportedError(f"the step of state {', '.join(states)} is no {kind}: {error}") from error
    return WrittenCell(found.operator, found.attributes, found.weights, found.projection, tuple(order))


def _adds(sums: Sequence[Sum], own: Mapping[int, int]) -> bool:
    """Return whether the next values of a state hold the values themselves."""
    return any(number in own for of in sums for monomial in of for number in monomial)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for one in shape:
        size *= one
    return size
