"""The matrix of exports: generated module shapes on which PyTorch, onnxruntime and the engine must agree.

tests/export/test_matrix.py exports every case with its proof, then streams it on both backends. The second table
of docs/support.md is made from the same list.
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tidegate.runtime.arrays import Array
from tidegate.runtime.load import load
from tidegate.runtime.streams import Model
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

KINDS: dict[str, Any] = {
    "nn.LSTM": nn.LSTM,
    "nn.LSTM proj_size": nn.LSTM,
    "nn.GRU": nn.GRU,
    "nn.RNN tanh": nn.RNN,
    "nn.RNN relu": partial(nn.RNN, nonlinearity="relu"),
    "nn.LSTMCell": nn.LSTMCell,
    "nn.GRUCell": nn.GRUCell,
    "nn.RNNCell tanh": nn.RNNCell,
    "nn.RNNCell relu": partial(nn.RNNCell, nonlinearity="relu"),
}
MODULES = [kind for kind in KINDS if "Cell" not in kind]
LOOPS = [kind for kind in KINDS if "Cell" in kind]
HEADS = ("last frame", "each frame", "final h", "token ids")
FRONTS = ("causal Conv1d", "LayerNorm", "BatchNorm1d")
WIDTH, IDS = 5, 11
LENGTHS, CUTS = (1, 13, 40), [1, 4, 21]


@dataclass(frozen=True)
class Case:
    """One module shape.

    Attributes:
        kind: Name of the recurrent module in KINDS.
        head: What the module answers; for "token ids" the input is ids, and the answer comes from the final h.
        layers: Number of layers.
        bias: Whether the module has biases.
        batch_first: Whether the batch axis comes first.
        front: The layer between the frames and the recurrent module; empty: none.
        extra: A further property: none, "state in and out", "packed" or "both directions".
    """

    kind: str
    head: str
    layers: int = 1
    bias: bool = True
    batch_first: bool = True
    front: str = ""
    extra: str = ""

    @property
    def options(self) -> list[str]:
        """The columns of the support table in which the case is counted."""
        shape = ["1 layer" if self.layers == 1 else "more layers", "bias" if self.bias else "no bias"]
        shape.append("batch first" if self.batch_first else "time first")
        return [*shape, self.head, *filter(None, (self.front, self.extra))]

    @property
    def name(self) -> str:
        """The name of the test."""
        return ", ".join([self.kind, *self.options])

    @property
    def hidden(self) -> int:
        """Number of units: it differs from case to case; relu gets more units, because some of them may be dead."""
        return 4 + sum(map(ord, self.name)) % 7 + 10 * ("relu" in self.kind)

    def module(self) -> nn.Module:
        """Return the module; it is the same at each call."""
        torch.manual_seed(len(self.name))
        return Net(self).eval()

    def signal(self, frames: int, streams: int, seed: int = 1) -> Tensor:
        """Return a signal in the form that the module takes."""
        random = torch.Generator().manual_seed(seed)
        sizes = (streams, frames) if self.batch_first else (frames, streams)
        if self.head == "token ids":
            return torch.randint(IDS, sizes, generator=random)
        return torch.randn(*sizes, WIDTH, generator=random)

    def example(self, frames: int, streams: int) -> object:
        """Return the example input for an export."""
        x = self.signal(frames, streams)
        if self.extra == "packed":
            return x, torch.full((streams,), frames)
        if self.extra == "state in and out":
            h, c = torch.zeros(2, self.layers, streams, self.hidden)
            return (x, (h, c)) if "LSTM" in self.kind else (x, h)
        return x


def _recurrent(case: Case) -> nn.Module:
    made = KINDS[case.kind]
    if case.kind in LOOPS:
        return made(WIDTH, case.hidden, bias=case.bias)  # type: ignore[no-any-return]
    options: dict[str, Any] = {"bias": case.bias, "batch_first": case.batch_first}
    if case.kind.endswith("proj_size"):
        options["proj_size"] = 3
    if case.extra == "both directions":
        options["bidirectional"] = True
    if case.layers > 1:
        options["dropout"] = 0.3
    return made(WIDTH, case.hidden, case.layers, **options)  # type: ignore[no-any-return]


class Net(nn.Module):
    """A front, a recurrent module, a head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.embedding = nn.Embedding(IDS, WIDTH)
        self.conv, self.layer_norm, self.batch_norm = (
            nn.Conv1d(WIDTH, WIDTH, 3),
            nn.LayerNorm(WIDTH),
            nn.BatchNorm1d(WIDTH),
        )
        self.batch_norm.running_mean = torch.linspace(-1, 1, WIDTH)
        self.rnn = _recurrent(case)
        self.dropout = nn.Dropout(0.3)
        directions = 2 if case.extra == "both directions" else 1
        self.fc = nn.Linear(3 if case.kind.endswith("proj_size") else directions * case.hidden, 4)

    def forward(self, x: Tensor, other: Any = None) -> Any:  # noqa: ANN401  a state, lengths or nothing
        case, time = self.case, int(self.case.batch_first)
        y, state = self._run(self._front(x), other)
        h = state[0] if isinstance(state, tuple) else state
        if case.head in ("final h", "token ids"):
            last = torch.cat((h[-2], h[-1]), 1) if case.extra == "both directions" else h[-1]
            answer = last if case.kind in MODULES else h
        else:
            answer = y.select(time, -1) if case.head == "last frame" else y
        answer = self.fc(self.dropout(answer))
        return (answer, state) if case.extra == "state in and out" else answer

    def _front(self, x: Tensor) -> Tensor:
        if self.case.head == "token ids":
            return self.embedding(x)  # type: ignore[no-any-return]
        if self.case.front == "LayerNorm":
            return self.layer_norm(x)  # type: ignore[no-any-return]
        if not self.case.front:
            return x
        rows = x.transpose(1, 2)
        if self.case.front == "BatchNorm1d":
            return self.batch_norm(rows).transpose(1, 2)  # type: ignore[no-any-return]
        return torch.relu(self.conv(nn.functional.pad(rows, (2, 0)))).transpose(1, 2)

    def _run(self, x: Tensor, other: Any) -> tuple[Tensor, Any]:  # noqa: ANN401
        if self.case.extra == "packed":
            packed = pack_padded_sequence(x, other, self.case.batch_first, enforce_sorted=False)
            y, state = self.rnn(packed)
            return pad_packed_sequence(y, self.case.batch_first)[0], state
        if self.case.kind in MODULES:
            return self.rnn(x, other)  # type: ignore[no-any-return]
        time = int(self.case.batch_first)
        state, answers = other, []
        for t in range(x.size(time)):
            state = self.rnn(x.select(time, t), state)
            answers.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(answers, time), state


def cases() -> list[Case]:
    """Return all cases of the matrix."""
    both = (True, False)
    shapes = [Case(*options) for options in product(MODULES, HEADS, (1, 2), both, both)]
    loops = [Case(kind, head, 1, bias, first) for kind, head, bias, first in product(LOOPS, HEADS, both, both)]
    fronts = [Case(kind, "each frame", front=front) for kind, front in product(KINDS, FRONTS)]
    plain = [kind for kind in MODULES if not kind.endswith("proj_size")]
    extras = [
        Case(kind, "each frame", layers, extra=extra)
        for kind, layers, extra in product(plain, (1, 2), ("state in and out", "packed"))
    ]
    directions = [
        Case(kind, head, layers, batch_first=layers == 1, extra="both directions")
        for kind, head, layers in product(plain, HEADS, (1, 2))
    ]
    return [*shapes, *loops, *fronts, *extras, *directions]


def options() -> list[str]:
    """Return the columns of the support table."""
    found = [option for case in cases() for option in case.options]
    return list(dict.fromkeys(found))


# ---- streaming one case ----


def assert_streams(path: Path, module: nn.Module, case: Case) -> None:
    """Check that a file streams PyTorch's answers on both backends, at several lengths, in chunks."""
    for backend in ("native", "onnxruntime"):
        model = load(path, backend)
        assert model.backend.startswith(backend)
        for length in LENGTHS:
            wanted = answers(module, case, length)
            frames = case.signal(length, 1, seed=2).squeeze(0 if case.batch_first else 1).numpy()
            seen = streamed(model, frames, case)
            np.testing.assert_allclose(seen, wanted, rtol=0, atol=1e-5 * max(1.0, float(np.abs(wanted).max())))


def answers(module: nn.Module, case: Case, length: int) -> Array:
    """Return PyTorch's answer to one stream of a length."""
    x = case.signal(length, 1, seed=2)
    example = case.example(length, 1)
    rest = example[1:] if isinstance(example, tuple) else ()
    with torch.no_grad():
        found = module(x, *rest)
    answer: Array = (found[0] if case.extra == "state in and out" else found).numpy()
    return answer.squeeze(0 if case.batch_first or case.head != "each frame" else 1)


def streamed(model: Model, frames: Array, case: Case) -> Array:
    """Return a model's answer to one stream that is pushed in chunks."""
    stream = model.stream()
    pieces = [stream.push(chunk) for chunk in np.split(frames, [cut for cut in CUTS if cut < len(frames)])]
    tail = stream.finish()  # the frames that a backward direction held back
    pieces += [] if tail is None else [tail]
    named = [next(iter(piece.values())) if isinstance(piece, dict) else piece for piece in pieces]
    return np.concatenate(named) if case.head == "each frame" else named[-1]
