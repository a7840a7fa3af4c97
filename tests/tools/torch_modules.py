"""Modules as beginners write them, for tests of export."""

import torch
from torch import Tensor, nn


class LastAnswer(nn.Module):
    """The classifier of many tutorials: last output, dropout, linear layer."""

    def __init__(self, layers: int = 2, *, batch_first: bool = True, bias: bool = True) -> None:
        super().__init__()
        dropout = 0.3 if layers > 1 else 0.0
        self.lstm = nn.LSTM(6, 8, layers, batch_first=batch_first, dropout=dropout, bias=bias)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(8, 7)
        self.last = (slice(None), -1) if batch_first else (-1,)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(x)
        answer: Tensor = self.fc(self.dropout(out[self.last]))
        return answer


class EachFrame(nn.Module):
    """Linear and ReLU before and after the LSTM, one answer per frame."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
        self.lstm = nn.LSTM(5, 4, 1, batch_first=True)
        self.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.lstm(self.front(x))[0])
        return answer


class Encoder(nn.Module):
    """An LSTM inside a submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(6, 5, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.rnn(x)[0])


class TwoDepths(nn.Module):
    """Two LSTM modules at different depths."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.LSTM(5, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.decoder(self.encoder(x))[0]
        return answer
