"""What nets recall after a lag: the first symbol of a sequence, asked for behind a stretch of noise.

    python -m tidegate.benchmarks.recall --json docs/recall.json

trains each net on a short lag, then on longer ones, from where the shorter left it: each until it is solved, or for at
most so many updates. A guess is right one time in SYMBOLS.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.files import write_atomic
from .measuring.environment import observe
from .progress import Progress, bar
from .tables import Table, show

if TYPE_CHECKING:
    import torch

SYMBOLS = 8
LAGS = (10, 30, 100, 300, 1000)
WIDTH, HEADS, LAYERS = 48, 4, 2
FRAMES, FEWEST = 3200, 8  # of a batch together; sequences of a batch at the least
CHECKED, TESTED = 64, 512  # sequences: while it trains, after
EVERY = 25  # updates between checks
SOLVED = 0.99
RATE = 3e-3


@dataclass(frozen=True)
class Recall:
    """What a net recalls after a lag.

    Attributes:
        name: The net.
        parameters: Its weights and biases.
        lag: Frames from the symbol to the question.
        seed: Of weights and sequences.
        updates: Of the weights at this lag; those at shorter lags came before.
        most: Updates after which training would have ended.
        accuracy: Share of unseen sequences whose first symbol it recalled.
        seconds: What training at this lag took.
    """

    name: str
    parameters: int
    lag: int
    seed: int
    updates: int
    most: int
    accuracy: float
    seconds: float


def recalls(
    lags: Sequence[int] = LAGS,
    most: int = 1000,
    seeds: Sequence[int] = (0,),
    progress: Progress | None = None,
    shown: Callable[[Sequence[Recall]], None] | None = None,
) -> list[Recall]:
    """Train each net at each lag, the shortest first, and return what it recalls of sequences that it has not seen.

    Args:
        lags: In frames, ascending.
        most: Updates at each lag.
        seeds: Each net is trained anew for each.
        progress: Called with the share done and what is going on.
        shown: Called after each net with all that is there.

    Raises:
        BackendError: torch is not installed.
    """
    from ..export.optional import need

    need("torch")
    found: list[Recall] = []
    runs = [(seed, name, make) for seed in seeds for name, make in _nets(lags[-1]).items()]
    for number, (seed, name, make) in enumerate(runs):
        with _one_thread(seed):
            net = make()
            for place, lag in enumerate(lags):
                if progress is not None:
                    progress((number + place / len(lags)) / len(runs), f"{name}, lag {lag}, seed {seed}")
                start = time.perf_counter()
                updates = _train(net, lag, most)
                seconds = time.perf_counter() - start
                size = sum(weight.numel() for weight in net.parameters())
                found.append(Recall(name, size, lag, seed, updates, most, _accuracy(net, lag, TESTED), seconds))
        if shown is not None:
            shown(found)
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
    """Return the table, a row a net: the mean over seeds, and updates where the lag was not solved by the fewest."""
    rows: dict[str, list[str]] = {}
    for name, lag in dict.fromkeys((one.name, one.lag) for one in found):
        ones = [one for one in found if (one.name, one.lag) == (name, lag)]
        accuracy = sum(one.accuracy for one in ones) / len(ones)
        updates = " ".join(str(one.updates) for one in ones)
        rows.setdefault(name, [name, f"{ones[0].parameters:,}"]).append(f"{100 * accuracy:.0f}% ({updates})")
    lags, seeds = sorted({one.lag for one in found}), sorted({one.seed for one in found})
    title = (
        f"First of {SYMBOLS} symbols recalled after a lag, by frames; in brackets the updates of each seed "
        f"({', '.join(map(str, seeds))}), at most {found[0].most} at each lag"
    )
    return Table(title, ["|", "weights", *map(str, lags)], list(rows.values()), whole=True)


def _train(net: "torch.nn.Module", lag: int, most: int) -> int:
    """Train until the lag is solved, and return the updates that took."""
    import torch

    optimizer = torch.optim.Adam(net.parameters(), RATE)
    count = max(FRAMES // lag, FEWEST)
    for update in range(most):
        if update % EVERY == 0 and _accuracy(net, lag, CHECKED) >= SOLVED:
            return update
        x, wanted = _sequences(count, lag)
        loss: Any = torch.nn.functional.cross_entropy(net(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return most


def _accuracy(net: "torch.nn.Module", lag: int, count: int) -> float:
    """Return the share of fresh sequences whose first symbol a net recalls."""
    import torch

    right = 0
    with torch.no_grad():
        for _ in range(0, count, CHECKED):
            x, wanted = _sequences(CHECKED, lag)
            right += int((net(x).argmax(-1) == wanted).sum())
    return right / count


def _sequences(count: int, lag: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return sequences `[count, lag + 1, SYMBOLS + 1]`: a symbol, then noise; the last feature marks the question."""
    import torch

    symbols = torch.randint(SYMBOLS, (count,))
    x = 0.3 * torch.randn(count, lag + 1, SYMBOLS + 1)
    x[:, 0] = torch.nn.functional.one_hot(symbols, SYMBOLS + 1).float()
    x[:, 1:, -1] = 0
    x[:, -1, -1] = 1
    return x, symbols


def _keep_long(bias: "torch.Tensor", other: "torch.Tensor", longest: int) -> None:
    """Let the gates of an LSTM start with memories of all lengths up to a lag (Tallec and Ollivier, 2018).

    b_f = log u with u even in [1, lag - 1], b_i = -b_f. With b_f = 1, as is usual, two of three seeds forget at lag 300
    and more what they had learned at 100, and stay there for a thousand updates.
    """
    import torch

    width = len(bias) // 4  # gates in the order i, f, g, o
    kept = torch.log(torch.empty(width).uniform_(1, max(longest - 1, 1)))
    with torch.no_grad():
        bias[:width], bias[width : 2 * width] = -kept, kept
        other[: 2 * width] = 0


def _places(length: int) -> "torch.Tensor":
    """Return the sines and cosines that tell positions apart, `[length, WIDTH]` (Vaswani et al., 2017)."""
    import torch

    angles = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    return torch.cat([angles.sin(), angles.cos()], 1)


def _nets(longest: int) -> dict[str, Callable[[], "torch.nn.Module"]]:
    """Return what makes each net; `longest` is the lag that it is to learn in the end."""
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self, cell: Any) -> None:  # noqa: ANN401  a class of torch
            super().__init__()
            # Four gates of a width have the weights of one gate of twice that.
            width = {"LSTM": WIDTH, "GRU": WIDTH * 8 // 7, "RNN": WIDTH * 2}[cell.__name__]
            self.cell, self.head = cell(SYMBOLS + 1, width, LAYERS, batch_first=True), nn.Linear(width, SYMBOLS)
            if cell is nn.LSTM:
                for n in range(LAYERS):
                    _keep_long(getattr(self.cell, f"bias_ih_l{n}"), getattr(self.cell, f"bias_hh_l{n}"), longest)

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.benchmarks.recall",
        description="What recurrent nets and a Transformer recall after a lag.",
        epilog="example: python -m tidegate.benchmarks.recall --seeds 0 --json recall.json",
    )
    parser.add_argument("--lags", default=",".join(map(str, LAGS)), help="frames (default: %(default)s)")
    parser.add_argument("--most", type=int, default=1000, help="updates at each lag (default: %(default)s)")
    parser.add_argument("--seeds", default="0,1,2", help="a net is trained anew for each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file")
    options = parser.parse_args(arguments)
    lags, seeds = ([int(one) for one in text.split(",")] for text in (options.lags, options.seeds))
    keep = None if options.json is None else lambda found: save(found, options.json)
    with bar("training") as progress:
        found = recalls(lags, options.most, seeds, progress, keep)
    show(table(found))


def save(found: Sequence[Recall], path: Path) -> None:
    """Write a JSON file, with the machine."""
    fields = {"environment": observe((), None).to_dict(), "recalls": [asdict(one) for one in found]}
    write_atomic(path, json.dumps(fields, indent=1).encode() + b"\n")


def read(path: Path) -> list[Recall]:
    """Read what `save` wrote."""
    return [Recall(**fields) for fields in json.loads(path.read_text())["recalls"]]


if __name__ == "__main__":
    main()
