"""Spectra: a matrix whose values are a window times waves becomes a Fourier transform."""

import numpy as np

from ..operators import Fourier, Linear
from ..operators.fourier import radices, roots_of_unity
from ..operators.matrix import FLOAT

# A length from which the transform is at most as slow as the matrix. Microseconds of a push of one frame by transform
# and matrix (least processor time of 40 rounds, Xeon with AVX-512): 32 samples 0.35 and 0.36, 64 0.46 and 0.43, 128
# 0.62 and 1.0, 400 1.8 and 6.4, 512 2.0 and 9.7; in plain C 64 0.93 and 2.6, 400 1.9 and 100.
LEAST_LENGTH = 64


def linear(op: Linear) -> Linear | Fourier:
    """Return the transform that a linear layer computes; the layer itself if it computes something else.

    A transform: the bins 0 to n / 2 of frames of n samples, real parts, then imaginary parts, of float weights without
    a bias, for an even n without prime factors above 5. A window shorter than n is in the middle of the frame.
    """
    bins, width = len(op.w.codes) // 2, op.w.codes.shape[1]
    length = 2 * bins - 2
    if op.w.weight_bits != FLOAT or len(op.w.codes) % 2 or not max(LEAST_LENGTH, width) <= length:
        return op
    if op.bias.any() or op.w.codes[bins].any() or not radices(length // 2):
        return op
    window, start = op.w.codes[0], (length - width) // 2
    roots = roots_of_unity(length)
    turns = np.outer(np.arange(bins), start + np.arange(width)) % length
    waves = window * roots[:, turns].reshape(-1, width)
    # The window and the weights were rounded to float32, wherever they were made; weights below 2^-40 count as zeros.
    close = np.abs(op.w.codes - waves) <= np.abs(window) * np.float32(2.0**-22)
    if not np.all(close | ((op.w.codes == 0) & (np.abs(waves) <= 2.0**-40))):
        return op
    return Fourier(op.inputs, window, roots.astype(np.float32), start)
