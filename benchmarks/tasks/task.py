"""A task: a module with trained weights, streams for calibration and for measuring, and its accuracy figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.arrays import Array, Floats

if TYPE_CHECKING:
    import torch

Answers = Sequence[Array]
DEFAULT_DATA = Path(__file__).parents[2].parent / "shared" / "data"


@dataclass(frozen=True)
class Goal:
    """The goals of a figure: one that it must reach, and a better one.

    Attributes:
        must: The value that must be reached.
        stretch: The better value.
        least: Whether the figure must be at least the goal; if not, at most.
        about: If not 0, the goals are for the figure's distance from this value.
    """

    must: float
    stretch: float
    least: bool = False
    about: float = 0.0

    def met(self, value: float) -> str:
        """Return `stretch`, `must` or `missed`."""
        value = abs(value - self.about) if self.about else value
        sign = -1 if self.least else 1
        return (
            "stretch"
            if sign * value <= sign * self.stretch
            else "must"
            if sign * value <= sign * self.must
            else "missed"
        )


@dataclass(frozen=True, eq=False)
class Task:
    """A trained model, and how its answers are judged.

    Attributes:
        name: Name of the model.
        module: The module, in float32.
        width: Features of a frame.
        calibration: Streams for calibration, each float32 `[frames, features]`. They are not among `streams`.
        streams: Streams for measuring, each float32 `[frames, features]`, from the zero state.
        figures: Takes answers and the float module's answers, and returns the figures by name.
        goals: Goals of int8 weights, by figure.
        goals_per_channel: Goals of int8 weights if every weight has one scale per channel.
        goals_4_bits: Goals of 4-bit weights.
        goals_16_bits: Goals of 16-bit weights.
        chunk: Frames per call for torch and onnxruntime, whose answers depend on it; 0 means a whole stream.
    """

    name: str
    module: "torch.nn.Module"
    width: int
    calibration: Sequence[Floats]
    streams: Sequence[Floats]
    figures: Callable[[Answers, Answers], dict[str, float]]
    goals: dict[str, Goal] = field(default_factory=dict)
    goals_per_channel: dict[str, Goal] = field(default_factory=dict)
    goals_4_bits: dict[str, Goal] = field(default_factory=dict)
    goals_16_bits: dict[str, Goal] = field(default_factory=dict)
    chunk: int = 0


def tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a safetensors file."""
    from safetensors.torch import load_file

    return load_file(path)


def named(weights: "dict[str, torch.Tensor]", *prefixes: str) -> "dict[str, torch.Tensor]":
    """Return the tensors whose names begin with one of the prefixes."""
    return {name: values for name, values in weights.items() if name.startswith(prefixes)}


def recording(path: Path) -> Floats:
    """Return the samples of a mono recording, float32 `[samples]`."""
    import soundfile

    samples: Floats = soundfile.read(path, dtype="float32")[0]
    return samples


def auc(scores: Array, labels: Array) -> float:
    """Return the area under the receiver operating characteristic; a tie counts half.

    Args:
        scores: `[n]`, higher for the positive class.
        labels: `[n]`, true or 1 for the positive class.
    """
    values, places = np.unique(scores, return_inverse=True)
    positive = np.bincount(places, labels.astype(bool), len(values))
    negative = np.bincount(places, ~labels.astype(bool), len(values))
    below = np.cumsum(negative) - negative
    return float(np.sum(positive * (below + 0.5 * negative)) / (positive.sum() * negative.sum()))


def equal_error_rate(scores: Array, same: Array) -> float:
    """Return the rate (0 to 1) at which misses and false alarms are equal.

    It is the mean of both rates at the threshold where they differ least.

    Args:
        scores: `[n]`, higher for pairs that should match.
        same: `[n]`, true for pairs that match.
    """
    order = np.argsort(-scores, kind="stable")
    hits: Any = same[order].astype(bool)
    misses = 1 - np.cumsum(hits) / hits.sum()
    alarms = np.cumsum(~hits) / (~hits).sum()
    at = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[at] + alarms[at]) / 2)
