"""What nets recall after a lag: they see a symbol, then noise, and must name the symbol at the end.

    python -m tidegate.benchmarks.recall --json docs/recall.json

trains each net on a short lag, then on longer ones, each time from the weights of the shorter lag. Training on a lag
ends when the lag is solved, or after a number of updates. A guess is right one time in SYMBOLS.
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
FRAMES, FEWEST = 3200, 8  # frames of all sequences of a batch; the smallest number of sequences
CHECKED, TESTED = 64, 512  # sequences of a check during training; of the test after it
EVERY = 25  # updates between checks
SOLVED = 0.99  # accuracy at which training ends
RATE = 3e-3  # the learning rate


@dataclass(frozen=True)
class Recall:
    """What a net recalls after a lag.

    Attributes:
        name: The net.
        parameters: Number of its weights and biases.
        lag: Frames from the symbol to the question.
        seed: Seed of the initial weights and of the sequences.
        updates: Updates of the weights at this lag, without those at shorter lags.
        most: The largest number of updates at a lag.
        accuracy: Fraction (0 to 1) of unseen sequences whose symbol the net recalled.
        seconds: Duration of the training at this lag.
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
    """Train each net at each lag, the shortest first, and return what it recalls of unseen sequences.

    Args:
        lags: The lags in frames, ascending.
        most: The largest number of updates at each lag.
        seeds: Each net is trained once from the start with each seed.
        progress: Called with the fraction done (0 to 1) and a description of the work.
        shown: Called after each net with all results so far.

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
    """Let torch use one thread and a seed of its own; restore the threads and the random state at the end."""
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
    """Return the table, one row per net. A cell has the mean accuracy over the seeds, and each seed's updates."""
    rows: dict[str, list[str]] = {}
    for name, lag in dict.fromkeys((one.name, one.lag) for one in found):
        ones = [one for one in found if (one.name, one.lag) == (name, lag)]
        accuracy = sum(one.accuracy for one in ones) / len(ones)
        updates = " ".join(str(one.updates) for one in ones)
        rows.setdefault(name, [name, f"{ones[0].parameters:,}"]).append(f"{100 * accuracy:.0f}% ({updates})")
    lags, seeds = sorted({one.lag for one in found}), sorted({one.seed for one in found})
    title = (
        f"Share of symbols (of {SYMBOLS} kinds) recalled after a lag in frames; in brackets the updates for each seed "
        f"({', '.join(map(str, seeds))}), at most {found[0].most} at each lag"
    )
    return Table(title, ["|", "weights", *map(str, lags)], list(rows.values()), whole=True)


def _train(net: "torch.nn.Module", lag: int, most: int) -> int:
    """Train until the lag is solved, for at most a number of updates, and return the updates made."""
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
    """Return the fraction (0 to 1) of fresh sequences whose symbol a net recalls."""
    import torch

    right = 0
    with torch.no_grad():
        for _ in range(0, count, CHECKED):
            x, wanted = _sequences(CHECKED, lag)
            right += int((net(x).argmax(-1) == wanted).sum())
    return right / count


def _sequences(count: int, lag: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return sequences `[count, lag + 1, SYMBOLS + 1]` and their symbols `[count]`.

    A sequence is a symbol, then noise. The last feature is 1 at the last frame, which is the question.
    """
    import torch

    symbols = torch.randint(SYMBOLS, (count,))
    x = 0.3 * torch.randn(count, lag + 1, SYMBOLS + 1)
    x[:, 0] = torch.nn.functional.one_hot(symbols, SYMBOLS + 1).float()
    x[:, 1:, -1] = 0
    x[:, -1, -1] = 1
    return x, symbols


def _keep_long(bias: "torch.Tensor", other: "torch.Tensor", longest: int) -> None:
    """Set an LSTM's gate biases so that its units remember for all lengths up to a lag (Tallec and Ollivier, 2018).

    b_f = log u with u uniform in [1, lag - 1], and b_i = -b_f. With the usual b_f = 1, two of three seeds lost at lag
    300 and more what they had learned at 100, and did not recover in a thousand updates.
    """
    import torch

    width = len(bias) // 4  # gates in the order i, f, g, o
    kept = torch.log(torch.empty(width).uniform_(1, max(longest - 1, 1)))
    with torch.no_grad():
        bias[:width], bias[width : 2 * width] = -kept, kept
        other[: 2 * width] = 0


def _places(length: int) -> "torch.Tensor":
    """Return the positional encoding of sines and cosines, `[length, WIDTH]` (Vaswani et al., 2017)."""
    import torch

    angles = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
    return torch.cat([angles.sin(), angles.cos()], 1)


def _nets(longest: int) -> dict[str, Callable[[], "torch.nn.Module"]]:
    """Return, by name, a function that makes each net; `longest` is the longest lag it will be trained on."""
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self, cell: Any) -> None:  # noqa: ANN401  a class of torch
            super().__init__()
            # These widths give all cells about the same number of weights: an RNN has one gate, of twice the width.
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
        description="Train recurrent nets and a Transformer, and print what they recall after a lag.",
        epilog="example: python -m tidegate.benchmarks.recall --seeds 0 --json recall.json",
    )
    parser.add_argument(
        "--lags", default=",".join(map(str, LAGS)), metavar="N,N", help="lags in frames (default: %(default)s)"
    )
    parser.add_argument(
        "--most", type=int, default=1000, metavar="N", help="most updates at each lag (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", default="0,1,2", metavar="N,N", help="train each net with each seed (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a JSON file")
    options = parser.parse_args(arguments)
    lags, seeds = ([int(one) for one in text.split(",")] for text in (options.lags, options.seeds))
    keep = None if options.json is None else lambda found: save(found, options.json)
    with bar("training") as progress:
        found = recalls(lags, options.most, seeds, progress, keep)
    show(table(found))


def save(found: Sequence[Recall], path: Path) -> None:
    """Write results as a JSON file, together with the machine."""
    fields = {"environment": observe((), None).to_dict(), "recalls": [asdict(one) for one in found]}
    write_atomic(path, json.dumps(fields, indent=1).encode() + b"\n")


def read(path: Path) -> list[Recall]:
    """Read the results that `save` wrote."""
    return [Recall(**fields) for fields in json.loads(path.read_text())["recalls"]]


if __name__ == "__main__":
    main()
