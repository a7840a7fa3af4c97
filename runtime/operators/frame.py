"""Operators inside a frame of several axes: moving values, and convolutions over a frame `[channels, height, width]`.

A value is a vector of features; the lowering keeps the shape of its frame. A convolution over one axis has height 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ..arrays import Array, Floats
from .base import FloatOperator, Operator, Record, State
from .matrix import Matrix, affine, row
from .numbers.functions import check_range, without_tiny

Pair = tuple[int, int]  # height and width


@dataclass(frozen=True, eq=False)
class Take(Operator):
    """Features in any order and number: for each place the `run` features from there on, or zeros if it is -1.

    Attributes:
        places: int32 `[parts]`, each -1 or the first feature of a part.
        run: Features of a part.
    """

    floats: ClassVar[bool] = False

    places: Array
    run: int = 1

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """The features of all parts."""
        return self.run * len(self.places)

    @cached_property
    def _features(self) -> Array:
        each = self.places[:, None] + np.arange(self.run)
        return np.where(self.places[:, None] < 0, -1, each).ravel()

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """The features; values are not changed."""
        return np.append(x[0], np.float32(0))[self._features], state

    def record(self) -> Record:
        """The features of a part, the number of parts, and the places."""
        return Record(counts=(self.run, len(self.places)), vectors=(self.places.astype(np.int32),))


@dataclass(frozen=True)
class Geometry:
    """Where a convolution reads a frame. Each field has height and width.

    Attributes:
        size: The size of the frame.
        kernel: Taps.
        stride: From one answer to the next.
        dilation: From one tap to the next.
        before: Zeros before the frame: the first answer's first tap is at -before. After the frame there are zeros.
        answers: Answers of each output channel.
    """

    size: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    before: Pair = (0, 0)
    answers: Pair = (1, 1)

    @cached_property
    def places(self) -> Array:
        """The place of each tap of each answer in `[height, width]`, -1 outside: `[answers, taps]`."""
        axes = []
        for size, kernel, stride, dilation, before, answers in zip(*self._fields, strict=True):
            at = np.arange(answers)[:, None] * stride - before + np.arange(kernel) * dilation
            axes.append(np.where((at >= 0) & (at < size), at, -1))
        rows, columns = axes[0][:, None, :, None], axes[1][None, :, None, :]
        places = np.where((rows < 0) | (columns < 0), -1, rows * self.size[1] + columns)
        return places.reshape(self.answers[0] * self.answers[1], -1)

    @property
    def _fields(self) -> tuple[Pair, ...]:
        return self.size, self.kernel, self.stride, self.dilation, self.before, self.answers

    def patches(self, x: Floats) -> Floats:
        """Return the taps of each answer: `[channels height width]` -> `[channels, answers, taps]`."""
        frame = x.reshape(-1, self.size[0] * self.size[1])
        return np.concatenate([frame, np.zeros((len(frame), 1), np.float32)], 1)[:, self.places]

    def vector(self) -> Array:
        """Return all fields but the answers, as a plan has them."""
        return np.ravel(self._fields[:-1]).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Convolution(Operator):
    """A convolution inside a frame: W x + b of the taps of each answer, `[channels, kernel height, kernel width]`.

    Attributes:
        answers_first: Whether the result is `[answers, outputs]`, as of a linear layer at several places; else
            `[outputs, answers]`.
    """

    w: Matrix
    bias: Floats
    geometry: Geometry
    answers_first: bool = False

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """One feature for each output channel and answer."""
        return int(self.w.codes.shape[0]) * len(self.geometry.places)

    def step(self, state: State, *x: Floats) -> tuple[Floats, State]:
        """One frame. The taps of each answer become integers by themselves."""
        patches = np.moveaxis(self.geometry.patches(x[0]), 1, 0)
        y = np.stack([affine(self.w, self.bias, patch.ravel()) for patch in patches])
        return check_range((y if self.answers_first else y.T).ravel()), state

    def record(self) -> Record:
        """The order of the result, the answers, the matrix, the bias and the geometry."""
        vectors = (self.bias, self.geometry.vector())
        return Record(1 + self.answers_first, self.geometry.answers, matrices=(self.w,), vectors=vectors)


@dataclass(frozen=True, eq=False)
class Depthwise(FloatOperator):
    """A convolution inside a frame whose output channels each read one channel: output o reads o * channels / outputs.

    The weights are floats: codes times their scales. Sums are in the order of the taps.
    """

    w: Matrix
    bias: Floats
    geometry: Geometry

    def width(self, widths: Sequence[int]) -> int:  # noqa: ARG002
        """One feature for each output channel and answer."""
        return int(self.w.codes.shape[0]) * len(self.geometry.places)

    @cached_property
    def weights(self) -> Floats:
        """The weights as floats, `[outputs, taps]`."""
        return without_tiny(np.stack([row(self.w, channel) for channel in range(len(self.w.codes))]))

    def formula(self, *x: Floats) -> Floats:
        """The sums, then the bias."""
        patches = self.geometry.patches(x[0])
        taps = np.repeat(patches, len(self.weights) // len(patches), 0)
        total = np.zeros(taps.shape[:2], np.float32)
        for tap in range(taps.shape[2]):
            total = total + taps[:, :, tap] * self.weights[:, tap, None]
        return (total + self.bias[:, None]).ravel()

    def record(self) -> Record:
        """The answers, the matrix, the bias and the geometry."""
        vectors = (self.bias, self.geometry.vector())
        return Record(counts=self.geometry.answers, matrices=(self.w,), vectors=vectors)
