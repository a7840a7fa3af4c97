"""The engine's arithmetic in torch, bit for bit: as `runtime/operators/matrix.py` and `numbers/functions.py` specify.

Integer products are exact in float64: its 53 bits hold every sum of products here. All else is float32, with one torch
call per operation so that no two operations are fused. On a CPU torch rounds each operation as IEEE 754 demands.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...runtime.operators.matrix import LARGEST_CODE, SILENT, Reading, largest_activation
from ...runtime.operators.numbers import functions
from ..rounding.nearest import LARGEST_SCALE, SMALLEST_CHANNEL_SCALE, SMALLEST_GROUP_SCALE

TINY = float(functions.TINY)
UNIT, LIMIT = float(functions.TANH_UNIT), float(functions.TANH_LIMIT)
P, Q = ([float(c) for c in part] for part in (functions.TANH_P, functions.TANH_Q))


@dataclass(frozen=True)
class Format:
    """How a matrix is stored, and how its input becomes integers.

    Attributes:
        weight_bits: 4, 8 or 16.
        group: Inputs that share a scale, 8 or 32; 0: all inputs of an output channel.
        bits: Bits of the input's integers.
        reading: How the input becomes integers: by the largest magnitude of each frame, or as an h within (-1, 1).
    """

    weight_bits: int
    group: int
    bits: int
    reading: Reading


class RoundedTensor(NamedTuple):
    """A weight matrix in integers, as tensors.

    Attributes:
        format: Its format.
        columns: The number of inputs.
        codes: float64 `[groups, inputs of a group, channels]`, with zeros after the last input.
        scales: float32 `[groups, channels]`.
        values: float32 `[channels, inputs]`: codes times scales, through which gradients go back.
    """

    format: Format
    columns: int
    codes: Tensor
    scales: Tensor
    values: Tensor


@torch.no_grad()
def rounded(weights: Tensor, form: Format) -> RoundedTensor:
    """Round weights `[channels, inputs]` to nearest, as `quant.rounding.nearest.rounded` does."""
    channels, columns = weights.shape
    group = form.group or columns
    groups, most = -(-columns // group), float(LARGEST_CODE[form.weight_bits])
    kept = weights.detach().masked_fill(weights.abs() < 2.0**-40, 0.0)  # the engine reads them as 0 from a file
    parts = torch.nn.functional.pad(kept, (0, groups * group - columns)).view(channels, groups, group)
    largest = parts.abs().amax(2)
    scales = torch.where(largest > 0, largest / most, torch.ones_like(largest))
    least = SMALLEST_GROUP_SCALE if groups > 1 else SMALLEST_CHANNEL_SCALE
    scales = scales.clamp(float(least), float(LARGEST_SCALE))
    codes = (parts / scales[:, :, None]).round_().clamp_(-most, most)
    values = (codes * scales[:, :, None]).view(channels, -1)[:, :columns]
    return RoundedTensor(form, columns, codes.permute(1, 2, 0).double(), scales.T.contiguous(), values.contiguous())


def encode(matrix: RoundedTensor, x: Tensor, *, clamp: bool = True) -> tuple[Tensor, Tensor | float]:
    """Return the codes of frames, float64 `[frames, inputs]`, and the value of one code, `[frames, 1]` or one for all.

    Args:
        matrix: The matrix that reads the frames.
        x: The frames, float32 `[frames, inputs]`.
        clamp: Whether values of an h beyond 1 saturate, as on the engine.
    """
    q = float(largest_activation(matrix.format.bits))
    if matrix.format.reading is Reading.HIDDEN:
        codes = x * q
        return (codes.clamp_(-q, q) if clamp else codes).round_().double(), float(np.float32(1) / np.float32(q))
    largest = x.abs().amax(-1, keepdim=True)
    silent = largest < float(SILENT)
    scale = largest / q
    codes = (x / scale).masked_fill_(silent, 0.0)
    return codes.round_().double(), scale.masked_fill(silent, 0.0)


def product(matrix: RoundedTensor, x: Tensor, *, clamp: bool = True) -> Tensor:
    """Return W x for each frame: `[frames, inputs]` -> `[frames, channels]`."""
    codes, scale = encode(matrix, x, clamp=clamp)
    if len(matrix.codes) == 1:
        return (codes @ matrix.codes[0]).float().mul_(matrix.scales[0] * scale)
    groups, size, _ = matrix.codes.shape
    padded = torch.nn.functional.pad(codes, (0, groups * size - matrix.columns))
    sums = torch.bmm(padded.view(len(x), groups, size).transpose(0, 1), matrix.codes).float()
    terms = sums.mul_(matrix.scales[:, None])
    total = torch.zeros_like(terms[0])
    for term in terms:
        total += term
    return total.mul_(scale)


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent as the engine computes it."""
    u = (x * UNIT).clamp_(-LIMIT, LIMIT)
    s = u * u
    p, q = s + P[3], s + Q[3]
    for k in (2, 1, 0):
        p = p.mul_(s).add_(P[k])
        q = q.mul_(s).add_(Q[k])
    return u.mul_(p).div_(q).clamp_(-1.0, 1.0)


def sigmoid(x: Tensor) -> Tensor:
    """Return 0.5 tanh(0.5 x) + 0.5."""
    return tanh(x * 0.5).mul_(0.5).add_(0.5)


def without_tiny(x: Tensor) -> Tensor:
    """Return x with magnitudes below 2^-60 replaced by +0."""
    return x.masked_fill(x.abs() < TINY, 0.0)
