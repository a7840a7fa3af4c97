"""Layers for which torch's exporter has no rule, or a wrong one: traced as markers or as their parts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn

from .cell_markers import marking_cells
from .packing import without_packing
from .projection_markers import marking_projections
from .samples import marking_frames
from .spectra import tracing_spectra


@contextmanager
def in_parts() -> Iterator[None]:
    """Trace cells, projections, samples, packed sequences, attention, RMSNorm as markers or parts, in this context."""
    norm_in_parts = patch.object(nn.functional, "rms_norm", _rms_norm)
    with (
        _attention_in_parts(),
        norm_in_parts,
        marking_projections(),
        marking_cells(),
        marking_frames(),
        tracing_spectra(),
        without_packing(),
    ):
        yield


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Switch off the fast path of nn.MultiheadAttention and nn.TransformerEncoderLayer, which has no ONNX form."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


def _rms_norm(x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """Divide by the root mean square of the last axes, as torch's own function does."""
    least = torch.finfo(x.dtype).eps if eps is None else eps
    scaled = x * torch.rsqrt((x * x).mean(tuple(range(-len(shape), 0)), keepdim=True) + least)
    return scaled if weight is None else scaled * weight
