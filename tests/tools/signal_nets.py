"""Small torch modules with several signals, an id, or a static input."""

import torch
from torch import nn


class Echo(nn.Module):
    """A mask from two signals, of 5 and 4 features."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.mask = nn.LSTM(9, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.mask(self.lstm(torch.cat([near, far], -1))[0]))


class Words(nn.Module):
    """A score of each frame from a word's id and 5 features."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.lstm = nn.Embedding(50, 4), nn.LSTM(9, 8, batch_first=True)

    def forward(self, word: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.lstm(torch.cat([self.table(word), features], -1))[0]
        return answer


class Voice(nn.Module):
    """Frames of 8 features, heard with the vector of a speaker."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.speaker = nn.LSTM(8, 8, batch_first=True), nn.Linear(256, 8)

    def forward(self, x: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.lstm(x)[0] + self.speaker(speaker)[:, None]
        return answer
