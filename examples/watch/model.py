"""The exercise recognizer: a two-layer LSTM with a linear head, in ordinary PyTorch."""

import torch
from torch import Tensor, nn


class ExerciseRecognizer(nn.Module):
    """Recognizes from the motion of a wrist which of seven exercises is being done.

    The buffers `mean` and `std` hold the statistics of the training recordings. They are saved with the
    weights, so the model takes the sensor's own units.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int = 6, hidden: int = 64, classes: int = 7, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames `[batch, frames, 6]` to the logits `[batch, 7]` of the last frame."""
        y, _ = self.lstm((x - self.mean) / self.std)
        logits: Tensor = self.fc(self.dropout(y[:, -1]))
        return logits

    def every_frame(self, x: Tensor) -> Tensor:
        """Map frames `[batch, frames, 6]` to logits `[batch, frames, 7]`, for training."""
        y, _ = self.lstm((x - self.mean) / self.std)
        logits: Tensor = self.fc(self.dropout(y))
        return logits


def recognizer() -> ExerciseRecognizer:
    """Return a recognizer with random weights; the trained weights are in `watch.safetensors`."""
    return ExerciseRecognizer()
