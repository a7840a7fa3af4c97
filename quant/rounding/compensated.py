"""Rounding that makes up for its own errors: second-order, column by column.

Each row v of weights becomes codes that keep e^T H e small, e being the rounding error and H the second moments of
what the row multiplies. First in the order of GPTQ (arXiv 2210.17323, with act-order): a column is rounded and its
error spread over those that are still to come. Then by coordinate descent: each code again, all others being what
they are.
"""

from collections.abc import Sequence

import numpy as np

from ...runtime.arrays import Array

DAMPING = 1e-2  # of the mean of the diagonal, of each matrix's inputs apart
SWEEPS = 4
BLOCK = 64  # columns whose errors reach those behind the block at once, as in GPTQ


def damped(second: Array, widths: Sequence[int], damping: float) -> Array:
    """Return second moments with a part of the mean of their diagonal added to it, part by part.

    Args:
        second: `[clusters, inputs, inputs]`.
        widths: Inputs of each matrix of the sum, which are damped apart.
        damping: What part of the mean is added.
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
    """Return e^T H e of each row."""
    errors: Array = np.einsum("rk,rk->r", _times(difference, second), difference)
    return errors


def nearest_codes(weights: Array, steps: Array, largest: Array) -> Array:
    """Return the nearest codes."""
    return np.clip(np.rint(weights / steps), -largest, largest)


def in_order(weights: Array, second: Array, steps: Array, largest: Array) -> Array:
    """Return codes `[rows, inputs]`, rounded in the order of falling second moments.

    Args:
        weights: float64 `[rows, inputs]`.
        second: Damped second moments, `[1 or rows, inputs, inputs]`.
        steps: The value of one code, `[rows, inputs]`.
        largest: The largest code of each input, `[inputs]`.
    """
    order = np.argsort(-np.einsum("cii->ci", second), axis=1, kind="stable")
    permuted = np.take_along_axis(np.take_along_axis(second, order[:, :, None], 1), order[:, None, :], 2)
    factor = _inverse_factor(permuted)
    at = np.broadcast_to(order, weights.shape)
    left, step, most = (
        np.take_along_axis(np.broadcast_to(part, weights.shape), at, 1) for part in (weights, steps, largest)
    )
    codes = np.empty_like(left)
    for start in range(0, weights.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        block, errors = left[:, part], np.empty_like(left[:, part])
        for k in range(block.shape[1]):
            column, row = start + k, factor[:, start + k, part]
            codes[:, column] = np.clip(np.rint(block[:, k] / step[:, column]), -most[:, column], most[:, column])
            errors[:, k] = (block[:, k] - codes[:, column] * step[:, column]) / row[:, k]
            block[:, k + 1 :] -= errors[:, k, None] * row[:, k + 1 :]
        left[:, part.stop :] -= _times(errors, factor[:, part, part.stop :])
    made = np.empty_like(codes)
    np.put_along_axis(made, at, codes, 1)
    return made


def _inverse_factor(second: Array) -> Array:
    """Return U of H^-1 = U^T U, upper triangular; moments that rounding made indefinite are damped until it exists."""
    for damping in (0, 1e-3, 1e-2, 1e-1, 1):
        try:
            inverse = np.linalg.inv(damped(second, [second.shape[1]], damping) if damping else second)
            return np.swapaxes(np.linalg.cholesky(inverse), 1, 2)
        except np.linalg.LinAlgError:
            continue
    raise AssertionError("moments are not finite")


def _times(rows: Array, matrices: Array) -> Array:
    """Return each row times its matrix, or the one that all share."""
    product: Array = rows @ matrices[0] if len(matrices) == 1 else np.einsum("rk,rkl->rl", rows, matrices)
    return product


def descend(weights: Array, second: Array, steps: Array, largest: Array, codes: Array) -> Array:
    """Return codes of which none can be changed alone for the better, or those after some sweeps.

    Args: as for `in_order`, and the codes to start from.
    """
    codes = codes.copy()
    error = weights - codes * steps
    gradient = _times(error, second)
    for _ in range(SWEEPS):
        changed = False
        for k in range(weights.shape[1]):
            wanted = codes[:, k] + gradient[:, k] / (second[:, k, k] * steps[:, k])
            moved = np.clip(np.rint(wanted), -largest[k], largest[k]) - codes[:, k]
            rows = np.flatnonzero(moved)
            if rows.size:
                changed = True
                codes[rows, k] += moved[rows]
                change = (moved * steps[:, k])[rows, None]
                gradient[rows] -= change * (second[0, k] if len(second) == 1 else second[rows, k])
        if not changed:
            break
    return codes
