"""Packed sequences in torch's exporter: the sequences of a stream are whole, so they are traced without packing.

torch has its own rules for packing. They fail if only a final state is used, and warn on standard error at each use.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn

from ...runtime.cells import STANDARD
from ...runtime.errors import UnsupportedError


class _Whole:
    """A replacement for torch's packing functions: whole sequences only, with data `[time, batch, features]`."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  any other function of torch
        return getattr(torch._VF, name)  # noqa: SLF001

    @staticmethod
    def _pack_padded_sequence(x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        frames = x.size(1 if batch_first else 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that values of a traced tensor are read, which is on purpose
            if any(length != frames for length in lengths.tolist()):
                raise UnsupportedError(
                    f"pack_padded_sequence by lengths {lengths.tolist()} of {int(frames)} frames, wanted whole "
                    "sequences: a stream has no padding; pack x.size(1) frames of each"
                )
        data = x.transpose(0, 1) if batch_first else x
        return data, torch.zeros(data.size(0), dtype=torch.int64) + data.size(1)

    @staticmethod
    def _pad_packed_sequence(data: Tensor, _sizes: Tensor, batch_first: bool, *_: object) -> tuple[Tensor, Tensor]:
        lengths = torch.zeros(data.size(1), dtype=torch.int64) + data.size(0)
        return (data.transpose(0, 1) if batch_first else data), lengths


@contextmanager
def without_packing() -> Iterator[None]:
    """Trace packed sequences as whole sequences, inside this context."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(rnn, "_VF", _Whole()))
        for kind in (getattr(nn, cell.torch) for cell in STANDARD.values()):
            stack.enter_context(patch.object(kind, "forward", _reading_packed(kind.forward)))
        yield


def _reading_packed(plain: Any) -> Any:  # noqa: ANN401  a forward
    """Return a forward of a recurrent module that takes packed sequences as whole ones."""

    def forward(module: Any, x: Any, hx: Any = None) -> Any:  # noqa: ANN401  as torch's own
        if not isinstance(x, rnn.PackedSequence):
            return plain(module, x, hx)
        start = None if hx is None else module.permute_hidden(hx, x.sorted_indices)
        y, state = plain(module, x.data.transpose(0, 1) if module.batch_first else x.data, start)
        data = y.transpose(0, 1) if module.batch_first else y
        packed = rnn.PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return packed, module.permute_hidden(state, x.unsorted_indices)

    return forward
