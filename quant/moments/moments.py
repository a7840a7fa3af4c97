"""Second moments of the inputs of each sum of products, over the calibration streams.

The method `guided` weights each frame by the squared gradient of the model's output with respect to the sum. Frames in
which a gate is saturated, or the output ignores it, then do not count. This is the Fisher information of the output's
error, block by block (as in GuidedQuant, arXiv 2505.07004). With random signs on the outputs one backward pass is
enough (Hutchinson's estimator).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.operators import Backward, Convolution, Embedding, Folded
from ...runtime.program import Program
from ..observing.observation import Segment
from .blocks import replay_backward
from .convolutions import replay_convolution
from .derivatives import back_through
from .folded import replay_folded
from .replay import Replay, replay
from .sums import matrix, sums_of

_K = TypeVar("_K")

PROJECTIONS = 2  # backward passes, each with other random signs
BATCH_VALUES = 2**24  # values in the widest array of a batch of segments
MOST_BY_CHANNEL = 2**21  # output channels times squared inputs, up to which each channel has its own moments
MOST_PRODUCTS = 2**31  # of a batch in such a sum; beyond, only every second, third ... frame counts: they are alike
LEAST_VARIANCE = 1e-6  # as a fraction of the mean square about the centre
PRODUCTS_BLOCK = 1024  # frames whose products of inputs are in memory at the same time


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted moments of the inputs of one sum.

    Attributes:
        covariance: float64 `[clusters, inputs, inputs]`: one cluster for the sum, or one per output channel.
        mean: float64 `[clusters, inputs]`.
    """

    covariance: Array
    mean: Array

    @property
    def second(self) -> Array:
        """Moments about zero, for sums whose bias cannot take the mean."""
        moments: Array = self.covariance + self.mean[:, :, None] * self.mean[:, None, :]
        return moments


Key = tuple[int, int]  # the index of an operation, and of one of its sums
BY_CHANNEL = "guided by channel"
METHODS = ("compensated", "guided", BY_CHANNEL)


class _Gathering:
    """The growing moments of one sum, about a centre near the mean.

    Moments about zero would lose the variance in float32: the h of a quiet layer hardly moves around its mean.
    """

    def __init__(self, z: Floats, clusters: int) -> None:
        self.centre = z.mean(0)
        self.second = np.zeros((clusters, z.shape[1], z.shape[1]))
        self.first = np.zeros((clusters, z.shape[1]))
        self.weight = np.zeros(clusters)

    def add(self, z: Floats, weights: Floats) -> None:
        """Add frames `[frames, inputs]` with weights `[frames, clusters]`."""
        if weights.shape[1] > 1:
            every = -(-weights.shape[1] * len(z) * z.shape[1] ** 2 // MOST_PRODUCTS)
            z, weights = z[::every], weights[::every]
        z = z - self.centre
        self.first += weights.T @ z
        self.weight += weights.sum(0)
        if weights.shape[1] == 1:
            self.second[0] += (z * weights).T @ z
            return
        z, weights = z.astype(np.float64), weights.astype(np.float64)  # few frames may count for a channel
        above = np.triu_indices(z.shape[1])
        for part in (slice(at, at + PRODUCTS_BLOCK) for at in range(0, len(z), PRODUCTS_BLOCK)):
            self.second[:, *above] += weights[part].T @ (z[part, above[0]] * z[part, above[1]])

    def moments(self) -> Moments:
        """Return the moments of all added frames. A cluster without any weight has covariance 0."""
        total = np.where(self.weight > 0, self.weight, 1)
        upper, first = np.triu(self.second) / total[:, None, None], self.first / total[:, None]
        second = upper + np.swapaxes(np.triu(upper, 1), 1, 2)
        least = LEAST_VARIANCE * np.einsum("cii->c", second) / second.shape[1]  # float32 resolves no less
        covariance = second - first[:, :, None] * first[:, None, :] + least[:, None, None] * np.eye(second.shape[1])
        return Moments(covariance, first + self.centre)


def gather(
    program: Program,
    segments: Sequence[Segment],
    scales: Sequence[float],
    methods: Sequence[str],
    seen: Callable[[int], None],
) -> dict[str, dict[Key, Moments]]:
    """Return the moments of every sum of a program, for each method.

    Args:
        program: A float program that answers every frame.
        segments: All values of the program on the streams.
        scales: The factor of each output's error in the total error.
        methods: Names in METHODS. `compensated`: all frames have the same weight. `guided`: frames are weighted by the
            squared gradient of the output with respect to the sum. `guided by channel`: in a small sum, with respect to
            each output channel.
        seen: Called with the number of frames done since the last call.
    """
    random = np.random.default_rng(0)
    gathered: dict[tuple[str, Key], _Gathering] = {}
    for batch in _batches(program, segments):
        gradients = _squared_gradients(program, batch, scales, random) if set(methods) - {"compensated"} else {}
        for key, z, counted in _inputs(program, batch):
            for method in methods:
                if method == "compensated" and _first_alike(program, key) != key:
                    continue
                weights = _weights(method, gradients.get(key), counted, z.shape[1])
                gathering = gathered.setdefault((method, key), _Gathering(z, weights.shape[1]))
                gathering.add(z, weights)
        seen(int(batch.used.size))
    made = {(method, key): gathering.moments() for (method, key), gathering in gathered.items()}
    keys = [(op, number) for op, one in enumerate(program.ops) for number in range(len(sums_of(one)))]
    return {m: {key: made.get((m, key)) or made[m, _first_alike(program, key)] for key in keys} for m in methods}


def _first_alike(program: Program, key: Key) -> Key:
    """Return the operation's first sum with the same inputs; with equal weights both have the same moments."""
    sums = sums_of(program.ops[key[0]])
    return key[0], next(n for n, one in enumerate(sums) if one.reads == sums[key[1]].reads)


def _inputs(program: Program, batch: "_Batch") -> Iterator[tuple[Key, Floats, Array]]:
    """Give the inputs of each sum in the frames that count, `[frames, inputs]`, and which frames count."""
    for op, replayed in batch.replays.items():
        counted = replayed.counted(batch.counted)
        joined: dict[tuple[str, ...], Floats] = {}
        for number, one in enumerate(sums_of(program.ops[op])):
            if one.reads not in joined:
                joined[one.reads] = np.concatenate([replayed.reads[name][counted] for name in one.reads], -1)
            yield (op, number), joined[one.reads], counted


def _weights(method: str, gradient: Floats | None, counted: Array, inputs: int) -> Floats:
    """Return the weights of frames `[frames, clusters]`; gradient None: the sum does not reach the output."""
    if method == "compensated":
        return np.ones((int(counted.sum()), 1), np.float32)
    if gradient is None:
        return np.zeros((int(counted.sum()), 1), np.float32)
    weights: Floats = gradient[counted]
    apart = method == BY_CHANNEL and _small(weights.shape[1], inputs)
    return weights if apart else weights.mean(1, keepdims=True)


def has_small_sums(program: Program) -> bool:
    """Return whether some sum is small enough for each output channel to have its own moments."""
    return any(
        _small(one.channels.stop - one.channels.start, sum(matrix(op, name).codes.shape[1] for name in one.matrices))
        for op in program.ops
        for one in sums_of(op)
    )


def _small(channels: int, inputs: int) -> bool:
    return channels > 1 and channels * inputs**2 <= MOST_BY_CHANNEL


@dataclass(frozen=True, eq=False)
class _Batch:
    """Segments side by side: values `[frames, segments, width]`, short segments padded with zeros."""

    values: list[Floats]
    used: Floats
    replays: dict[int, Replay]

    @property
    def counted(self) -> Array:
        """The frames to calibrate on: not held out, no padding."""
        return self.used > 0


def _batches(program: Program, segments: Sequence[Segment]) -> Iterator[_Batch]:
    widest = 4 * max(values.shape[1] for values in segments[0].values)
    ordered = sorted(segments, key=lambda s: -len(s.used))
    at = 0
    while at < len(ordered):
        count = max(1, BATCH_VALUES // (widest * len(ordered[at].used)))
        yield _batch(program, ordered[at : at + count])
        at += count


def _batch(program: Program, segments: Sequence[Segment]) -> _Batch:
    length = len(segments[0].used)
    used = stacked([s.used for s in segments], length)
    values = [stacked([s.values[v] for s in segments], length) for v in range(len(program.ops) + 1)]
    replays = {}
    for index, op in enumerate(program.ops):
        if isinstance(op, Backward):
            replays[index] = replay_backward(op, values[op.inputs[0]], [len(s.used) for s in segments])
        elif isinstance(op, Convolution):
            replays[index] = replay_convolution(op, values[op.inputs[0]])
        elif sums_of(op):
            starts = tuple(np.stack(part) for part in zip(*(s.starts[index] for s in segments), strict=True))
            x, y = values[op.inputs[0]], values[index + 1]
            replays[index] = replay_folded(op, x, y, starts) if isinstance(op, Folded) else replay(op, x, y, starts)
    return _Batch(values, used, replays)


def stacked(arrays: Sequence[Floats], length: int) -> Floats:
    """Return arrays `[frames, ...]` side by side, `[length, arrays, ...]`, padded with zeros at their ends."""
    made = np.zeros((length, len(arrays), *arrays[0].shape[1:]), np.float32)
    for place, array in enumerate(arrays):
        made[: len(array), place] = array
    return made


def _squared_gradients(
    program: Program, batch: _Batch, scales: Sequence[float], random: np.random.Generator
) -> dict[Key, Floats]:
    """Return the squared gradient of each sum, `[frames, segments, channels]`, averaged over projections."""
    found: dict[Key, Floats] = {}
    for _ in range(PROJECTIONS):
        grads: dict[int, Floats] = {}
        for (_, value), scale in zip(program.outputs, scales, strict=True):
            signs = random.choice(np.array([-1, 1], np.float32), batch.values[value].shape)
            _add(grads, value, signs * batch.used[..., None] * np.float32(scale))
        for index in range(len(program.ops) - 1, -1, -1):
            if index + 1 in grads:
                sums = _one_back(program, batch, index, grads)
                for number, one in enumerate(sums):
                    _add(found, (index, number), one * one / np.float32(PROJECTIONS))
    return found


def _one_back(program: Program, batch: _Batch, index: int, grads: dict[int, Floats]) -> list[Floats]:
    """Go back through one operation: add to its inputs' gradients, and return the gradients of its sums."""
    op, grad = program.ops[index], grads.pop(index + 1)
    if index in batch.replays:
        into, sums = batch.replays[index].back(grad)
        _add(grads, op.inputs[0], into)
        return sums
    if not isinstance(op, Embedding):
        x = tuple(batch.values[v] for v in op.inputs)
        for value, into in zip(op.inputs, back_through(op, x, batch.values[index + 1], grad), strict=True):
            _add(grads, value, into)
    return []


def _add(sums: dict[_K, Floats], key: _K, value: Floats) -> None:
    sums[key] = sums[key] + value if key in sums else value
