"""What a task is: a module with trained weights, streams to calibrate and to measure on, and its figures."""

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
    """What a figure must reach, and what would be better still.

    Attributes:
        must: The floor.
        stretch: The aim.
        least: Whether the figure should be at least that; else at most.
        about: What the figure should be no farther from than that, where it is a distance.
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
        calibration: Streams to calibrate on, none of which is measured on.
        streams: Streams to measure on, each float32 `[frames, features]`, from the zero state.
        figures: Figures by name, from answers and the answers of the module itself.
        goals: Figures of int8 with their goals.
        goals_by_row: The same where every weight has one int8 scale a row.
        goals_4_bits: The same of 4-bit weights.
        goals_16_bits: The same of 16-bit weights.
        chunk: Frames of a call of those whose answers depend on it; 0: a whole stream.
    """

    name: str
    module: "torch.nn.Module"
    width: int
    calibration: Sequence[Floats]
    streams: Sequence[Floats]
    figures: Callable[[Answers, Answers], dict[str, float]]
    goals: dict[str, Goal] = field(default_factory=dict)
    goals_by_row: dict[str, Goal] = field(default_factory=dict)
    goals_4_bits: dict[str, Goal] = field(default_factory=dict)
    goals_16_bits: dict[str, Goal] = field(default_factory=dict)
    chunk: int = 0


def tensors(path: Path) -> "dict[str, torch.Tensor]":
    """Return the tensors of a safetensors file."""
    from safetensors.torch import load_file

    return load_file(path)


def named(weights: "dict[str, torch.Tensor]", *prefixes: str) -> "dict[str, torch.Tensor]":
    """Return the tensors whose names begin so."""
    return {name: values for name, values in weights.items() if name.startswith(prefixes)}


def recording(path: Path) -> Floats:
    """Return the samples of a mono recording, float32 `[samples]`."""
    import soundfile

    samples: Floats = soundfile.read(path, dtype="float32")[0]
    return samples


def auc(scores: Array, labels: Array) -> float:
    """Return the area under the receiver operating characteristic; ties count half."""
    values, places = np.unique(scores, return_inverse=True)
    positive = np.bincount(places, labels.astype(bool), len(values))
    negative = np.bincount(places, ~labels.astype(bool), len(values))
    below = np.cumsum(negative) - negative
    return float(np.sum(positive * (below + 0.5 * negative)) / (positive.sum() * negative.sum()))


def equal_error_rate(scores: Array, same: Array) -> float:
    """Return the rate at which misses and false alarms are equal, between the two thresholds about it."""
    order = np.argsort(-scores, kind="stable")
    hits: Any = same[order].astype(bool)
    misses = 1 - np.cumsum(hits) / hits.sum()
    alarms = np.cumsum(~hits) / (~hits).sum()
    at = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[at] + alarms[at]) / 2)
