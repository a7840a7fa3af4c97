"""Single steps in torch's exporter: each call of a cell, or of a layer in a loop over time, is traced as a marker."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ...runtime.cells import BY_STEP, STANDARD
from ..graph.markers import STEP_MARKERS

_STEPS: dict[str, Any] = {
    "LSTM": torch._VF.lstm_cell,  # noqa: SLF001  the functions that torch's cells call
    "GRU": torch._VF.gru_cell,  # noqa: SLF001
    "Tanh": torch._VF.rnn_tanh_cell,  # noqa: SLF001
    "Relu": torch._VF.rnn_relu_cell,  # noqa: SLF001
}


class _Step(torch.autograd.Function):
    """One step: x `[batch, features]`, states `[batch, hidden]`, two weights, two biases or none -> next states."""

    @staticmethod
    def forward(_: object, kind: str, x: Tensor, *rest: Tensor) -> Any:  # noqa: ANN401  one tensor or two
        count = len(BY_STEP[kind].states)
        states, weights = rest[:count], rest[count:]
        biases = weights[2:] or (None, None)
        return _STEPS[kind](x, list(states) if kind == "LSTM" else states[0], *weights[:2], *biases)

    @staticmethod
    def symbolic(graph: Any, kind: str, *inputs: Any) -> Any:  # noqa: ANN401  torch's own values
        count = len(BY_STEP[kind].states)
        made = graph.op(STEP_MARKERS[kind], *inputs, outputs=count)
        for value, state in zip([made] if count == 1 else made, inputs[1:], strict=False):
            value.setType(state.type())  # else torch prints that it does not know the type
        return made


@contextmanager
def marking_cells() -> Iterator[None]:
    """Trace each call of a cell as a marker, inside this context."""
    with ExitStack() as stack:
        for cell in STANDARD.values():
            stack.enter_context(patch.object(getattr(nn, f"{cell.torch}Cell"), "forward", _forward))
        yield


def _forward(cell: nn.RNNCellBase, x: Tensor, hx: Any = None) -> Any:  # noqa: ANN401  a state or a pair of them
    """Compute a cell's step, as its own forward does."""
    kind = cell.nonlinearity.title() if isinstance(cell, nn.RNNCell) else type(cell).__name__.removesuffix("Cell")
    batch = x if x.dim() == 2 else x.unsqueeze(0)
    if hx is None:
        states = [torch.zeros(batch.size(0), cell.hidden_size, device=x.device)] * (2 if kind == "LSTM" else 1)
    else:
        given = hx if kind == "LSTM" else [hx]
        states = [state if state.dim() == 2 else state.unsqueeze(0) for state in given]
    weights = [cell.weight_ih, cell.weight_hh, *([cell.bias_ih, cell.bias_hh] if cell.bias else [])]
    made = _Step.apply(kind, batch, *states, *weights)  # type: ignore[no-untyped-call]
    if x.dim() == 2:
        return made
    return tuple(state.squeeze(0) for state in made) if kind == "LSTM" else made.squeeze(0)


@contextmanager
def marking_steps(modules: Iterable[nn.RNNBase]) -> Iterator[None]:
    """Trace modules that are called for one frame at a time as cells, one per layer, inside this context."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(patch.object(module, "forward", _Steps(module)))
        yield


class _Steps:
    """The forward of a recurrent module for one frame, `[batch, 1, features]` or `[1, batch, features]`.

    It knows the states that it returned: if they come back, each layer reads its own state of the step before.
    """

    def __init__(self, module: nn.RNNBase) -> None:
        self._module = module
        self._kind = module.mode.removeprefix("RNN_").title() if module.mode.startswith("RNN_") else module.mode
        self._time = 1 if module.batch_first else 0
        self._returned: dict[tuple[int, ...], tuple[Any, list[Any]]] = {}

    def __call__(self, x: Tensor, hx: Any = None) -> Any:  # noqa: ANN401  a state or a pair of them
        """Compute one frame, as the module's own forward does."""
        frame, finals = x.squeeze(self._time), []
        for start, weights in zip(self._starts(frame, hx), self._module.all_weights, strict=True):
            made = _Step.apply(self._kind, frame, *start, *weights)  # type: ignore[no-untyped-call]
            finals.append(made if isinstance(made, tuple) else (made,))
            frame = finals[-1][0]
        states = tuple(map(_joined, zip(*finals, strict=True)))
        self._returned[tuple(map(id, states))] = (states, finals)  # holds them, so that no id is used again
        return frame.unsqueeze(self._time), (states if self._kind == "LSTM" else states[0])

    def _starts(self, frame: Tensor, hx: Any) -> list[Any]:  # noqa: ANN401  a state or a pair of them
        """Return the states of each layer, `[batch, hidden]`."""
        layers, count = self._module.num_layers, len(BY_STEP[self._kind].states)
        if hx is None:
            zeros = torch.zeros(frame.size(0), self._module.hidden_size, device=frame.device)
            return [[zeros] * count] * layers
        given = tuple(hx) if count > 1 else (hx,)
        known = self._returned.get(tuple(map(id, given)))
        if known is not None:
            return known[1]
        return [[state.squeeze(0) if layers == 1 else state[layer] for state in given] for layer in range(layers)]


def _joined(states: tuple[Tensor, ...]) -> Tensor:
    """Return the states of all layers, `[layers, batch, hidden]`."""
    return states[0].unsqueeze(0) if len(states) == 1 else torch.stack(states)
