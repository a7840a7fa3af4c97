"""Fixed ranges of activations, from the magnitudes that are met while streaming.

A range T of b bits lets codes hold magnitudes up to T in steps of T / q, q = 2^(b-1) - 1; larger values saturate. The
rules that choose T have the field's names: MinMax (Jacob et al. 2018), Percentile, MSE (least squares), and Entropy
(Migacz 2017: the range whose codes lose the least information, by Kullback and Leibler).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.errors import QuantizationError
from ...runtime.operators import Operator
from ...runtime.operators.matrix import (
    FLOAT,
    LARGEST_RANGE,
    LEAST_RANGE,
    Matrix,
    Reading,
    activation_bits,
    largest_activation,
)
from ...runtime.program import Program
from .layers import changed, layer_of
from .observation import Segment

BINS = 4096
SHARE = 0.9999  # fraction of the magnitudes that Percentile keeps within the range
CANDIDATES = 256  # ranges that MSE and Entropy choose from


class Magnitudes:
    """A growing histogram of magnitudes.

    Bins are a power of two wide, and join in pairs when a larger magnitude comes. The order of values does not matter.
    """

    def __init__(self) -> None:
        self.largest, self._counts, self._width = 0.0, np.zeros(BINS, np.int64), 2.0**-126

    def add(self, values: Floats) -> None:
        """Count the magnitudes of values, of any shape."""
        found = np.abs(values).ravel()
        self.largest = max(self.largest, float(np.max(found, initial=0.0)))
        while self._width * BINS <= self.largest:
            self._counts = np.concatenate([self._counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
            self._width *= 2
        self._counts += np.bincount((found / self._width).astype(np.int64), minlength=BINS)

    def range(self, rule: str, bits: int) -> np.float32:
        """Return the range for codes of the given bits, clipped to what the engine accepts; 1 if all values are 0.

        Args:
            rule: minmax, percentile, mse or entropy.
            bits: 2 to 16.

        Raises:
            QuantizationError: There is no such rule.
        """
        check_rule(rule)
        found = RANGE_RULES[rule](self, largest_activation(bits)) if self.largest else 1.0
        return np.clip(np.float32(min(found, self.largest or 1.0)), LEAST_RANGE, LARGEST_RANGE)

    def _minmax(self, _: int) -> float:
        return self.largest

    def _percentile(self, _: int) -> float:
        reached = np.cumsum(self._counts) >= SHARE * self._counts.sum()
        return float(np.argmax(reached) + 1) * self._width

    def _mse(self, q: int) -> float:
        centres = (np.arange(BINS) + 0.5) * self._width

        def error(bins: int) -> float:
            limit = bins * self._width
            rounding = np.minimum(centres**2, (limit / q) ** 2 / 12)  # a small value errs at most by itself
            return float(self._counts @ np.where(centres < limit, rounding, (centres - limit) ** 2))

        return min(self._candidates(1), key=error) * self._width

    def _entropy(self, q: int) -> float:
        counts = self._counts.copy()
        counts[0] = min(counts[0], counts[1])  # any range holds zeros and tiny values well: they must not decide
        return min(self._candidates(q + 1), key=lambda bins: _divergence(counts, bins, q + 1)) * self._width

    def _candidates(self, least: int) -> Sequence[int]:
        """Return the ranges to try, in bins, up to the last bin that is used."""
        used = int(np.flatnonzero(self._counts)[-1]) + 1
        return [int(bins) for bins in np.unique(np.linspace(min(least, used), used, CANDIDATES).round())]


RANGE_RULES: dict[str, Callable[[Magnitudes, int], float]] = {
    "minmax": Magnitudes._minmax,  # noqa: SLF001
    "percentile": Magnitudes._percentile,  # noqa: SLF001
    "mse": Magnitudes._mse,  # noqa: SLF001
    "entropy": Magnitudes._entropy,  # noqa: SLF001
}


def check_rule(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        QuantizationError: There is no rule of this name.
    """
    if rule not in RANGE_RULES:
        raise QuantizationError(f"ranges is {rule!r}, wanted {', '.join(RANGE_RULES)}, or None: by each frame")


def magnitudes(segments: Sequence[Segment]) -> list[Magnitudes]:
    """Return the magnitudes of each value of a program, the input first, on the frames that are not held out."""
    found = [Magnitudes() for _ in segments[0].values]
    for segment in segments:
        used = segment.used > 0
        for one, values in zip(found, segment.values, strict=True):
            one.add(values[used])
    return found


def bits_of(program: Program) -> dict[str, int]:
    """Return the activation bits of each quantized matrix, by its name."""
    matrices = (matrix for op in program.ops for matrix in op.record().matrices)
    return {matrix.name: matrix.bits for matrix in matrices if matrix.weight_bits != FLOAT}


def ranges_of(program: Program, met: Sequence[Magnitudes], bits: Mapping[str, int], rule: str) -> dict[str, np.float32]:
    """Return the range of each matrix's input, by the matrix's name; the largest if several operations read it.

    The input of an LSTM's projection, o tanh(c), is not a value of the program: its range stays 1.

    Args:
        program: The float program.
        met: The magnitudes of its values, from `magnitudes`.
        bits: The activation bits of the quantized matrices, from `bits_of`.
        rule: minmax, percentile, mse or entropy.

    Raises:
        QuantizationError: There is no such rule.
    """
    found: dict[str, np.float32] = {}
    for index, op in enumerate(program.ops):
        for field, value in (("w", op.inputs[0]), ("r", index + 1)):
            read = getattr(layer_of(op), field, None)
            if isinstance(read, Matrix) and read.name in bits:
                most = met[value].range(rule, bits[read.name])
                found[read.name] = max(most, found.get(read.name, most))
    return found


def with_ranges(program: Program, ranges: Mapping[str, np.float32]) -> Program:
    """Return a program in which the named matrices scale their input by a fixed range."""
    return _changed(
        program,
        lambda m: replace(m, reading=Reading.CONSTANT, range=ranges[m.name]) if m.name in ranges else m,
    )


def with_most_bits(program: Program) -> Program:
    """Return a program in which each matrix has the most activation bits that it can have, up to 16."""
    return _changed(program, lambda m: replace(m, bits=activation_bits(m.codes.shape[1], 16, m.weight_bits, m.group)))


def _changed(program: Program, change: Callable[[Matrix], Matrix]) -> Program:
    """Return a program with every matrix changed by a function."""
    return replace(program, ops=tuple(_with_changed(op, change) for op in program.ops))


def _with_changed(op: Operator, change: Callable[[Matrix], Matrix]) -> Operator:
    matrices = {field: getattr(layer_of(op), field, None) for field in ("w", "r", "p")}
    return changed(op, {field: change(m) for field, m in matrices.items() if isinstance(m, Matrix)})


def _divergence(counts: Array, bins: int, levels: int) -> float:
    """Return the information lost if the first bins of a distribution become levels and the rest saturates."""
    inside = counts[:bins].astype(np.float64)
    level = np.arange(bins) * levels // bins
    filled = np.bincount(level, inside > 0, levels)
    mean = np.bincount(level, inside, levels) / np.maximum(filled, 1)
    kept = np.where(inside > 0, mean[level], 0)
    if not kept.any():
        return np.inf
    inside[-1] += counts[bins:].sum()
    p, met = inside / inside.sum(), inside > 0
    q = np.where(kept > 0, kept, 1e-9 * kept.sum())[met] / kept.sum()
    return float(np.sum(p[met] * np.log(p[met] / q)))
