"""Symmetric rounding to 4, 8 or 16 bits, with one scale per output channel or per group of inputs."""

from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators.matrix import LARGEST_CODE
from .precision import Precision

LARGEST_SCALE = np.float32(2.0**40)  # that the engine accepts; the smallest scale depends on groups
SMALLEST_CHANNEL_SCALE, SMALLEST_GROUP_SCALE = np.float32(2.0**-40), np.float32(2.0**-24)


@dataclass(frozen=True, eq=False)
class Rounded:
    """A weight matrix in integers.

    Attributes:
        codes: `[channels, inputs]`, int8 or int16.
        scales: float32 `[channels, groups]`.
        precision: Its bits and its group size.
    """

    codes: Array
    scales: Floats
    precision: Precision

    @property
    def steps(self) -> Array:
        """The value of one code of each weight, float64 `[channels, inputs]`."""
        return self.steps_of(self.scales)

    @property
    def values(self) -> Array:
        """Codes times scales, float64 `[channels, inputs]`."""
        values: Array = self.codes * self.steps
        return values

    def steps_of(self, scales: Floats) -> Array:
        """Return the value of one code of each weight for other scales `[any channels, groups]`."""
        columns = self.codes.shape[1]
        spread = input_scales(scales, columns, self.precision.group)
        return np.broadcast_to(spread, (len(scales), columns)).astype(np.float64)


def to_nearest(weights: Floats, precision: Precision) -> Rounded:
    """Round weights `[channels, inputs]` to the nearest codes of a precision other than float32."""
    return Rounded(*rounded(weights, precision.weight_bits, precision.group), precision)


def rounded(weights: Floats, bits: int, group: int = 0) -> tuple[Array, Floats]:
    """Round weights to codes: scale = largest magnitude / largest code, code = weight / scale, ties to even.

    Args:
        weights: float32 `[channels, inputs]`, finite.
        bits: 4, 8 or 16. The largest code is 7, 127 or 32767; the smallest is minus that.
        group: Inputs that share a scale. The last group of a channel may be shorter. 0: all inputs of a channel.

    Returns:
        Codes `[channels, inputs]`, int8, or int16 for 16 bits; and scales float32 `[channels, groups]`. The scale
        of a group of zeros is 1.
    """
    most = np.float32(LARGEST_CODE[bits])
    starts = np.arange(0, weights.shape[1], group or weights.shape[1])
    largest = np.maximum.reduceat(np.abs(weights), starts, axis=1)
    scales = np.where(largest > 0, largest / most, np.float32(1))
    scales = np.clip(scales, smallest_scale(scales), LARGEST_SCALE)
    codes = np.clip(np.rint(weights / input_scales(scales, weights.shape[1], group)), -most, most)
    return codes.astype(np.int16 if bits == 16 else np.int8), scales


def smallest_scale(scales: Floats) -> np.float32:
    """Return the smallest scale that the engine accepts, with or without groups: scales are `[channels, groups]`."""
    return SMALLEST_GROUP_SCALE if scales.shape[1] > 1 else SMALLEST_CHANNEL_SCALE


def rms_error(weights: Floats, values: Array) -> float:
    """Return the root mean square of `values - weights`, relative to that of the weights; 0 if all weights are 0."""
    exact = weights.astype(np.float64)
    power = float(np.mean(exact**2))
    return float(np.sqrt(np.mean((exact - values) ** 2) / power)) if power else 0.0


def input_scales(scales: Floats, columns: int, group: int) -> Floats:
    """Return the scale of each input, `[channels, columns]`; without groups `[channels, 1]`."""
    return np.repeat(scales, group, axis=1)[:, :columns] if group else scales
