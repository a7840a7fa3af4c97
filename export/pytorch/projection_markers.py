"""nn.LSTM with proj_size in torch's exporter, which has no rule for it: each layer is traced as a marker."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..graph.markers import PROJECTION

State = tuple[Tensor, Tensor]


class _Layer(torch.autograd.Function):
    """One layer: X `[time, batch, features]`, h and c `[1, batch, ...]` -> Y `[time, 1, batch, projected]`, h, c."""

    @staticmethod
    def forward(
        _: object, sizes: tuple[int, int], x: Tensor, h: Tensor, c: Tensor, *weights: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        del sizes  # only symbolic() needs them
        biased = len(weights) == 5
        y, last_h, last_c = torch._VF.lstm(x, (h, c), weights, biased, 1, 0.0, False, False, False)  # noqa: SLF001
        return y.unsqueeze(1), last_h, last_c

    @staticmethod
    def symbolic(graph: Any, sizes: tuple[int, int], *inputs: Any) -> Any:  # noqa: ANN401  torch's own values
        projected, hidden = sizes
        shapes = [None, 1, None, projected], [1, None, projected], [1, None, hidden]
        made = graph.op(PROJECTION, *inputs, outputs=len(shapes))
        for value, shape in zip(made, shapes, strict=True):
            value.setType(inputs[0].type().with_sizes(shape))  # else torch prints that it does not know the type
        return made


@contextmanager
def marking_projections() -> Iterator[None]:
    """Trace each nn.LSTM with projection as markers, one per layer, inside this context."""
    plain = nn.LSTM.forward

    def forward(self: nn.LSTM, x: Tensor, hx: State | None = None) -> tuple[Tensor, State]:
        return _forward(self, x, hx) if self.proj_size else plain(self, x, hx)

    nn.LSTM.forward = forward  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        nn.LSTM.forward = plain  # type: ignore[method-assign]


def _forward(module: nn.LSTM, x: Tensor, hx: State | None) -> tuple[Tensor, State]:
    """Compute what nn.LSTM computes in eval mode, in one direction."""
    if x.dim() == 2:
        y, (h, c) = _forward_batch(module, x.unsqueeze(1), hx and (hx[0].unsqueeze(1), hx[1].unsqueeze(1)))
        return y[:, 0], (h[:, 0], c[:, 0])
    y, state = _forward_batch(module, x.transpose(0, 1) if module.batch_first else x, hx)
    return (y.transpose(0, 1) if module.batch_first else y), state


def _forward_batch(module: nn.LSTM, x: Tensor, hx: State | None) -> tuple[Tensor, State]:
    """Run the layers over `[time, batch, features]`."""
    sizes = (module.proj_size, module.hidden_size)
    start = hx or [torch.zeros(module.num_layers, x.size(1), size, device=x.device) for size in sizes]
    finals = []
    for layer, weights in enumerate(module.all_weights):
        y, h, c = _Layer.apply(  # type: ignore[no-untyped-call]
            sizes, x, start[0][layer : layer + 1], start[1][layer : layer + 1], *weights
        )
        finals.append((h, c))
        x = y[:, 0]
    return x, (torch.cat([h for h, _ in finals]), torch.cat([c for _, c in finals]))
