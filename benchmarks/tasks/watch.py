"""Exercises from a smartwatch: an LSTM of two layers with 64 units, at 50 frames per second."""

from pathlib import Path

import numpy as np
from torch import Tensor, nn

from ...runtime.arrays import Array, Floats
from .task import Answers, Goal, Task, tensors

FIRST_DECISION, INTERVAL = 99, 10
CALIBRATION, TEST = (7,), (8, 9, 10)  # subjects


class Recognizer(nn.Module):
    """Recognizes the exercise at each frame."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.lstm = nn.LSTM(6, 64, num_layers=2, batch_first=True)
        self.fc = nn.Linear(64, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, 6]` to logits `[batch, frames, 7]`."""
        logits: Tensor = self.fc(self.lstm((x - self.mean) / self.std)[0])
        return logits


def task(data: Path) -> Task:
    """Return the task: a decision at frame 99 and every 10 frames after, on three subjects.

    The recordings of a fourth subject are for calibration.
    """
    weights = tensors(data / "watch_imu" / "watch_lstm64x2.safetensors")
    module = Recognizer(weights["mean"], weights["std"])
    module.load_state_dict(weights)
    with np.load(data / "watch_imu" / "watch_imu.npz") as file:
        x, offsets, label, subject = (file[key] for key in ("x", "offsets", "label", "subject"))

    def streams(subjects: tuple[int, ...]) -> list[Floats]:
        return [x[offsets[i] : offsets[i + 1]] for i in np.flatnonzero(np.isin(subject, subjects))]

    labels = label[np.isin(subject, TEST)]
    return Task(
        "watch",
        module,
        6,
        streams(CALIBRATION),
        streams(TEST),
        lambda answers, exact: figures(answers, exact, labels),
        goals={"accuracy": Goal(0.001, 0.0005, about=0.80609), "changed %": Goal(0.1, 0.03)},
        goals_4_bits={"changed %": Goal(1.5, 0.8)},
    )


def figures(answers: Answers, exact: Answers, labels: Array) -> dict[str, float]:
    """Return the streaming accuracy (0 to 1), and the percentage of decisions that differ from float."""
    made, wanted = ([y[FIRST_DECISION::INTERVAL].argmax(1) for y in side] for side in (answers, exact))
    right = np.repeat(labels, [len(y) for y in made])
    changed = 100 * float(np.mean(np.concatenate(made) != np.concatenate(wanted)))
    return {"accuracy": float(np.mean(np.concatenate(made) == right)), "changed %": changed}
