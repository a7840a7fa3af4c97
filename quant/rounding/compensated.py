"""Compensated rounding: the codes of other inputs make up for each rounding error.

The weights of an output channel become codes that keep e^T H e small. e is the rounding error, H the second moments of
the channel's inputs. The first pass is GPTQ (arXiv 2210.17323, with act-order): round one input's weights, and spread
the error over the inputs that follow. The second pass is coordinate descent: change one code at a time as long as it
helps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array
from ...runtime.errors import QuantizationError

DAMPING = 1e-2  # as a fraction of the mean of the diagonal, for each matrix separately
SWEEPS = 4  # of coordinate descent, at most
BLOCK = 64  # inputs; their errors reach the inputs after the block in one product, as in GPTQ


def damped(second: Array, widths: Sequence[int], damping: float) -> Array:
    """Return second moments whose diagonal is raised by a fraction of its mean, for each matrix separately.

    Args:
        second: `[clusters, inputs, inputs]`.
        widths: How many of the inputs belong to each matrix of the sum.
        damping: The fraction of the mean that is added.
    """
    made, at = second.copy(), 0
    diagonal = np.einsum("cii->ci", made)
    least = np.maximum(1e-6 * diagonal.mean(1), np.finfo(np.float32).tiny)
    for width in widths:
        part = diagonal[:, at : at + width]
        part += np.maximum(damping * part.mean(1), least)[:, None]
        at += width
    return made


def error_of(difference: Array, second: Array) -> Array:
    """Return e^T H e of each output channel.

    Args:
        difference: The errors e, `[channels, inputs]`.
        second: H, `[1 or channels, inputs, inputs]`.
    """
    errors: Array = np.einsum("rk,rk->r", _times(difference, second), difference)
    return errors


def nearest_codes(weights: Array, steps: Array, largest: Array) -> Array:
    """Return the nearest codes `[channels, inputs]`; the arguments are those of `in_order`."""
    return np.clip(np.rint(weights / steps), -largest, largest)


@dataclass(frozen=True, eq=False)
class Elimination:
    """The order in which GPTQ rounds inputs, and how it spreads their errors: both depend on the moments alone.

    Attributes:
        order: The inputs, those with the largest second moments first, `[1 or channels, inputs]`.
        factor: The upper triangular U with H^-1 = U^T U, its inputs in this order, `[1 or channels, inputs, inputs]`.
    """

    order: Array
    factor: Array


def elimination(second: Array) -> Elimination:
    """Return the elimination for damped second moments, `[1 or channels, inputs, inputs]`.

    Raises:
        QuantizationError: The moments are not finite, or differ by more than float64 holds.
    """
    order = np.argsort(-np.einsum("cii->ci", second), axis=1, kind="stable")
    permuted = np.take_along_axis(np.take_along_axis(second, order[:, :, None], 1), order[:, None, :], 2)
    return Elimination(order, _inverse_factor(permuted))


def in_order(weights: Array, by: Elimination, steps: Array, largest: Array) -> Array:
    """Return codes `[channels, inputs]` by GPTQ, one input of all channels after the other.

    Args:
        weights: float64 `[channels, inputs]`.
        by: The order of the inputs.
        steps: The value of one code, `[channels, inputs]`.
        largest: The largest code of each input, `[inputs]`.
    """
    at = np.broadcast_to(by.order, weights.shape).T
    # An input's weights lie side by side, and so the loop takes half the time.
    left, step, most = (
        np.take_along_axis(np.broadcast_to(part, weights.shape).T, at, 0) for part in (weights, steps, largest)
    )
    codes, errors = np.empty_like(left), np.empty_like(left)
    for start in range(0, len(left), BLOCK):
        part = slice(start, start + BLOCK)
        for k, last in enumerate(left[part], start):
            row = by.factor[:, k, part].T
            codes[k] = np.rint(last / step[k]).clip(-most[k], most[k])
            errors[k] = (last - codes[k] * step[k]) / row[k - start]
            left[k + 1 : part.stop] -= errors[k] * row[k + 1 - start :]
        left[part.stop :] -= _times(errors[part].T, by.factor[:, part, part.stop :]).T
    made = np.empty_like(codes)
    np.put_along_axis(made, at, codes, 0)
    return np.ascontiguousarray(made.T)


def _inverse_factor(second: Array) -> Array:
    """Return the upper triangular U with H^-1 = U^T U. If rounding made H indefinite, damp it until U exists.

    Raises:
        QuantizationError: The moments are not finite, or differ by more than float64 holds.
    """
    for damping in (0, 1e-3, 1e-2, 1e-1, 1):
        try:
            inverse = np.linalg.inv(damped(second, [second.shape[1]], damping) if damping else second)
            return np.swapaxes(np.linalg.cholesky(inverse), 1, 2)
        except np.linalg.LinAlgError:
            continue
    raise QuantizationError(
        "the values of the model grow on the calibration streams, beyond what float64 can compare; give shorter "
        "streams, or quantize without calibration"
    )


def _times(vectors: Array, matrices: Array) -> Array:
    """Return each vector times its own matrix, or times the only one."""
    product: Array = vectors @ matrices[0] if len(matrices) == 1 else np.einsum("rk,rkl->rl", vectors, matrices)
    return product


def descend(weights: Array, second: Array, steps: Array, largest: Array, codes: Array) -> Array:
    """Return codes that no change of a single code improves, or the codes after the last sweep.

    Args:
        weights: float64 `[channels, inputs]`.
        second: Damped second moments, `[1 or channels, inputs, inputs]`.
        steps: The value of one code, `[channels, inputs]`.
        largest: The largest code of each input, `[inputs]`.
        codes: The codes to start from, `[channels, inputs]`.
    """
    codes = codes.copy()
    error = weights - codes * steps
    gradient = _times(error, second)
    for _ in range(SWEEPS):
        changed = False
        for k in range(weights.shape[1]):
            wanted = codes[:, k] + gradient[:, k] / (second[:, k, k] * steps[:, k])
            moved = np.clip(np.rint(wanted), -largest[k], largest[k]) - codes[:, k]
            channels = np.flatnonzero(moved)
            if channels.size:
                changed = True
                codes[channels, k] += moved[channels]
                change = (moved * steps[:, k])[channels, None]
                gradient[channels] -= change * (second[0, k] if len(second) == 1 else second[channels, k])
        if not changed:
            break
    return codes
