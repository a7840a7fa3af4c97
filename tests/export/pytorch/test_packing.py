"""Packed sequences traced as whole ones: the same answers, nothing left out, nothing left behind."""

from functools import partial

import pytest
import torch
from tidegate.export.pytorch.packing import without_packing
from tidegate.runtime.errors import UnsupportedError
from torch import Tensor, nn
from torch.nn.utils import rnn

FRAMES, STREAMS = 5, 3


def _packed(module: nn.RNNBase, x: Tensor, lengths: Tensor, *, sort: bool) -> list[Tensor]:
    """Return the answers and final states of a module over packed sequences."""
    first = module.batch_first
    packed = rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=not sort)
    y, state = module(packed)
    padded, seen = rnn.pad_packed_sequence(y, batch_first=first)
    return [padded, seen, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, partial(nn.RNN, nonlinearity="relu")], ids=["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("batch_first", [True, False], ids=["batch first", "time first"])
@pytest.mark.parametrize("sort", [True, False], ids=["sorted", "as they come"])
def test_whole_sequences_give_the_answers_of_packed_ones(
    kind: type[nn.RNNBase], *, batch_first: bool, sort: bool
) -> None:
    torch.manual_seed(0)
    module = kind(4, 6, 2, batch_first=batch_first)  # type: ignore[arg-type] # a recurrent module
    x = torch.randn((STREAMS, FRAMES, 4) if batch_first else (FRAMES, STREAMS, 4))
    lengths = torch.full((STREAMS,), FRAMES)
    with torch.no_grad():
        wanted = _packed(module, x, lengths, sort=sort)
        with without_packing():
            seen = _packed(module, x, lengths, sort=sort)
            plain = module(x)[0]
    for ours, theirs in zip(seen, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(plain, wanted[0])


def test_lengths_that_leave_frames_out_are_refused() -> None:
    x, lengths = torch.randn(STREAMS, FRAMES, 4), torch.tensor([5, 5, 4])
    with (
        without_packing(),
        pytest.raises(UnsupportedError, match=r"by lengths \[5, 5, 4\] of 5 frames, wanted whole sequences"),
    ):
        rnn.pack_padded_sequence(x, lengths, batch_first=True)


def test_torch_is_as_before_afterwards_also_if_the_trace_fails() -> None:
    before = (rnn._VF, nn.LSTM.forward, nn.GRU.forward, nn.RNN.forward)  # type: ignore[attr-defined] # private
    with pytest.raises(ZeroDivisionError), without_packing():
        raise ZeroDivisionError
    assert (rnn._VF, nn.LSTM.forward, nn.GRU.forward, nn.RNN.forward) == before  # type: ignore[attr-defined] # private
