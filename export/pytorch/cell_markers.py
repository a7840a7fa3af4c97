"""nn.LSTMCell, nn.GRUCell and nn.RNNCell in torch's exporter: each call is traced as a marker of one step."""

from collections.abc import Iterator
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
