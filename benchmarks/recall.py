"""What nets recall after a lag: the first symbol of a sequence, asked for behind a stretch of noise.

Each net is trained anew for each lag, by the same number of steps. A guess is right one time in SYMBOLS.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .progress import Progress
from .tables import Table

if TYPE_CHECKING:
    import torch

SYMBOLS = 8
LAGS = (10, 30, 100, 300, 1000)
WIDTH, HEADS, LAYERS = 48, 4, 2
BATCH, TESTED = 32, 512
RATE = 3e-3


@dataclass(frozen=True)
class Recall:
    """Share of sequences whose first symbol a net recalled after a lag."""

    name: str
    lag: int
    accuracy: float


def recalls(
    lags: Sequence[int] = LAGS, steps: int = 300, seed: int = 0, progress: Progress | None = None
) -> list[Recall]:
    """Train each net at each lag and return what it recalls of sequences that it has not seen.

    Raises:
        BackendError: torch is not installed.
    """
    from ..export.optional import need

    need("torch")
    nets, found = _nets(), []
    with _one_thread(seed):
        for number, (name, make) in enumerate(nets.items()):
            for place, lag in enumerate(lags):
                if progress is not None:
                    progress((number + place / len(lags)) / len(nets), f"{name}, lag {lag}")
                found.append(Recall(name, lag, _trained(make(), lag, steps)))
    return found


@contextmanager
def _one_thread(seed: int) -> Iterator[None]:
    """Let torch use one thread and its own random numbers; both are afterwards as they were."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def table(found: Sequence[Recall]) -> Table:
    """Return the table, a row a net."""
    rows: dict[str, list[str]] = {}
    for one in found:
        rows.setdefault(one.name, [one.name]).append(f"{100 * one.accuracy:.0f}%")
    lags = sorted({one.lag for one in found})
    return Table(
        f"First symbol of {SYMBOLS} recalled after a lag, by frames", ["|", *map(str, lags)], list(rows.values())
    )


def _trained(net: "torch.nn.Module", lag: int, steps: int) -> float:
    import torch

    optimizer = torch.optim.Adam(net.parameters(), RATE)
    for _ in range(steps):
        x, wanted = _sequences(BATCH, lag)
        loss: Any = torch.nn.functional.cross_entropy(net(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        x, wanted = _sequences(TESTED, lag)
        return float((net(x).argmax(-1) == wanted).float().mean())


def _sequences(count: int, lag: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return sequences `[count, lag + 1, SYMBOLS + 1]`: a symbol, then noise; the last feature marks the question."""
    import torch

    symbols = torch.randint(SYMBOLS, (count,))
    x = 0.3 * torch.randn(count, lag + 1, SYMBOLS + 1)
    x[:, 0] = torch.nn.functional.one_hot(symbols, SYMBOLS + 1).float()
    x[:, 1:, -1] = 0
    x[:, -1, -1] = 1
    return x, symbols


def _places(length: int) -> "torch.Tensor":
    """Return the sines and cosines that tell positions apart, `[length, WIDTH]` (Vaswani et al., 2017)."""
    import torch

    angles = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    return torch.cat([angles.sin(), angles.cos()], 1)


def _nets() -> dict[str, Callable[[], "torch.nn.Module"]]:
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self, cell: Any) -> None:  # noqa: ANN401  a class of torch
            super().__init__()
            # Four gates of a width have the weights of one gate of twice that.
            width = {"LSTM": WIDTH, "GRU": WIDTH * 8 // 7, "RNN": WIDTH * 2}[cell.__name__]
            self.cell, self.head = cell(SYMBOLS + 1, width, LAYERS, batch_first=True), nn.Linear(width, SYMBOLS)
            if cell is nn.LSTM:
                for n in range(LAYERS):  # forget gates start open, as is usual: b_f = 1
                    getattr(self.cell, f"bias_ih_l{n}").data[width : 2 * width] = 1

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            answer: torch.Tensor = self.head(self.cell(x)[0][:, -1])
            return answer

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, 0.0, batch_first=True, norm_first=True)
            self.start = nn.Linear(SYMBOLS + 1, WIDTH)
            self.blocks = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
            self.head = nn.Linear(WIDTH, SYMBOLS)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            import torch

            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            values = self.start(x) + _places(x.shape[1])
            answer: torch.Tensor = self.head(self.blocks(values, mask, is_causal=True)[:, -1])
            return answer

    return {
        "RNN": lambda: Recurrent(nn.RNN),
        "GRU": lambda: Recurrent(nn.GRU),
        "LSTM": lambda: Recurrent(nn.LSTM),
        "Transformer": Transformer,
    }
