"""Forwards with further arguments: states in and out, lengths of packed sequences."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import ExportReport, export_model
from tidegate.runtime.errors import ExportError, UnsupportedError
from tidegate.runtime.load import load
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Pair = tuple[Tensor, Tensor]


class Tagger(nn.Module):
    """An LSTM that takes its state as an argument and returns it."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, layers, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        y, state = self.lstm(x, state)
        return self.fc(y), state


class Optional(Tagger):
    """The state may be left out."""

    def forward(self, x: Tensor, state: Pair | None = None) -> tuple[Tensor, Pair]:
        y, given = self.lstm(x, state)
        return self.fc(y), given


class Apart(Tagger):
    """h and c are separate arguments, and are returned in another order."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        y, (h, c) = self.lstm(x, (h, c))
        return c, self.fc(y), h


class Gru(nn.Module):
    """One state tensor, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, 2), nn.Linear(8, 3)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        y, hidden = self.gru(x, hidden)
        return self.fc(y[-1]), hidden


class CellLoop(nn.Module):
    """A cell in a loop that takes its state and returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.LSTMCell(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        answers = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            answers.append(self.fc(h))
        return torch.stack(answers, 1), h, c


class TwoStates(nn.Module):
    """Two modules with their states in one nested tuple, the second module's first."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.GRU(6, 8, batch_first=True), nn.LSTM(8, 5, batch_first=True)

    def forward(self, x: Tensor, states: tuple[Pair, Tensor]) -> tuple[Tensor, tuple[Pair, Tensor]]:
        y, low = self.low(x, states[1])
        z, high = self.high(y, states[0])
        return z, (high, low)


class Projected(nn.Module):
    """LSTMs with projection: h and c have other sizes."""

    def __init__(self, layers: int, **options: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 9, layers, proj_size=4, **options)

    def forward(self, x: Tensor, state: Pair | None = None) -> tuple[Tensor, Pair]:
        y, given = self.lstm(x, state)
        return y, given


class ProjectedApart(Projected):
    """h and c are separate arguments."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        y, (h, c) = self.lstm(x, (h, c))
        return y, h, c


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


PAIR = (zeros(2, 3, 8), zeros(2, 3, 8))
HANDED: dict[str, tuple[Callable[[], nn.Module], tuple[object, ...], list[str]]] = {
    "a pair": (Tagger, (torch.randn(3, 20, 6), PAIR), ["lstm.h_in", "lstm.c_in"]),
    "one layer": (
        lambda: Tagger(1),
        (torch.randn(1, 9, 6), (zeros(1, 1, 8), zeros(1, 1, 8))),
        ["lstm.h_in", "lstm.c_in"],
    ),
    "optional": (Optional, (torch.randn(3, 20, 6), PAIR), ["lstm.h_in", "lstm.c_in"]),
    "apart": (Apart, (torch.randn(3, 20, 6), *PAIR), ["h", "c"]),
    "gru": (Gru, (torch.randn(20, 3, 6), zeros(2, 3, 8)), ["hidden"]),
    "cell": (CellLoop, (torch.randn(3, 20, 6), zeros(3, 8), zeros(3, 8)), ["h", "c"]),
    "projected": (
        lambda: Projected(1, batch_first=True),
        (torch.randn(1, 20, 6), (zeros(1, 1, 4), zeros(1, 1, 9))),
        ["lstm.h_in", "lstm.c_in"],
    ),
    "projected, layers": (
        lambda: Projected(2),
        (torch.randn(20, 3, 6), (zeros(2, 3, 4), zeros(2, 3, 9))),
        ["lstm.h_in", "lstm.c_in"],
    ),
    "projected, without biases": (
        lambda: Projected(2, batch_first=True, bias=False),
        (torch.randn(3, 20, 6), (zeros(2, 3, 4), zeros(2, 3, 9))),
        ["lstm.h_in", "lstm.c_in"],
    ),
    "projected, apart": (
        lambda: ProjectedApart(1, batch_first=True),
        (torch.randn(2, 20, 6), zeros(1, 2, 4), zeros(1, 2, 9)),
        ["h", "c"],
    ),
    "two": (
        TwoStates,
        (torch.randn(2, 9, 6), ((zeros(1, 2, 5), zeros(1, 2, 5)), zeros(1, 2, 8))),
        ["low.h_in", "high.h_in", "high.c_in"],
    ),
}


def export(factory: Callable[[], nn.Module], example: object, folder: Path) -> ExportReport:
    torch.manual_seed(1)
    return export_model(factory(), example, folder / "m.onnx")


def both_backends(path: Path, width: int = 6) -> None:
    """Stream on both backends and compare."""
    frames = np.random.default_rng(1).standard_normal((30, width), np.float32)
    native, other = (load(path, backend).stream() for backend in ("native", "onnxruntime"))
    for chunk in np.split(frames, [1, 20, 23]):
        seen, wanted = native.push(chunk), other.push(chunk)
        assert isinstance(seen, np.ndarray)
        assert isinstance(wanted, np.ndarray)
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", HANDED)
def test_a_state_that_is_handed_in_and_out_is_lifted(name: str, tmp_path: Path) -> None:
    factory, example, states = HANDED[name]
    report = export(factory, example, tmp_path)
    assert [state.input for state in report.contract.states] == states
    assert sorted(report.folded.values()) == sorted(state.output for state in report.contract.states)
    own = next(check for check in report.checks if check.name == "in chunks, against the module with its own state")
    print(f"{name}: {report.error:.1e}, with its own state {own.error:.1e}")
    assert report.error < 2e-6
    both_backends(report.path)


@pytest.mark.parametrize("factory", [Tagger, Optional])
def test_a_state_may_be_left_out_of_the_example(factory: Callable[[], nn.Module], tmp_path: Path) -> None:
    report = export(factory, torch.randn(1, 20, 6), tmp_path)
    assert [state.input for state in report.contract.states] == ["lstm.h_in", "lstm.c_in"]
    both_backends(report.path)


class Mixed(Tagger):
    """The state has a second use besides starting a layer."""

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        y, new = self.lstm(x, state)
        return self.fc(y + state[0][-1].unsqueeze(1)), new


class Changed(Tagger):
    """c is changed before the layer starts from it."""

    def forward(self, x: Tensor, state: Pair) -> tuple[Tensor, Pair]:
        y, (h, c) = self.lstm(x, (state[0], state[1] * 1.0 + 0.5))
        return self.fc(y), (h, c)


@pytest.mark.parametrize(
    ("factory", "example", "error", "message"),
    [
        (
            Mixed,
            (torch.randn(3, 20, 6), PAIR),
            UnsupportedError,
            r"argument 'state_0': .* reads it, wanted only as the init",
        ),
        (
            Changed,
            (torch.randn(3, 20, 6), PAIR),
            UnsupportedError,
            r"argument 'state_1': Mul .* reads it, wanted only as the in",
        ),
        (Apart, torch.randn(1, 20, 6), ExportError, r"forward fails: .*h, c was None: give it in the example"),
        (
            Tagger,
            (torch.randn(1, 20, 6), PAIR, PAIR),
            ExportError,
            r"the example has 3 parts, the forward takes 2: x, s",
        ),
    ],
)
def test_what_cannot_be_lifted_is_refused_by_name(
    factory: Callable[[], nn.Module], example: object, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export(factory, example, tmp_path)
    assert not list(tmp_path.iterdir())


class Packed(Tagger):
    """Sequences packed by lengths from the caller."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        answer: Tensor = self.fc(y)
        return answer


class Full(Tagger):
    """Whole sequences are packed; the answer comes from the final h."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(x, torch.full((x.size(0),), x.size(1)), batch_first=True)
        answer: Tensor = self.fc(self.lstm(packed)[1][0][-1])
        return answer


class Listed(Tagger):
    """Lengths as a Python list."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(x, [len(row) for row in x], batch_first=True)
        answer: Tensor = self.fc(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])
        return answer


@pytest.mark.parametrize(
    ("factory", "example"),
    [
        (Packed, (torch.randn(3, 20, 6), torch.tensor([20, 20, 20]))),
        (Packed, (torch.randn(3, 20, 6), torch.tensor([7, 20, 12]))),
        (Full, torch.randn(3, 20, 6)),
        (Full, torch.randn(1, 20, 6)),
        (Listed, torch.randn(2, 20, 6)),
    ],
)
def test_packed_sequences(factory: Callable[[], nn.Module], example: object, tmp_path: Path) -> None:
    report = export(factory, example, tmp_path)
    assert [state.input for state in report.contract.states] == ["lstm.h_in", "lstm.c_in"]
    assert report.error < 2e-6
    both_backends(report.path)


class LastOfEach(Tagger):
    """The last frame of each sequence, picked by its length, packed or not."""

    packs = False

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        if self.packs:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            y, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        else:
            y, _ = self.lstm(x)
        answer: Tensor = self.fc(y[torch.arange(x.size(0)), lengths - 1])
        return answer


class LastOfEachPacked(LastOfEach):
    """The same with packed sequences."""

    packs = True


class Gathered(Tagger):
    """The same by gather()."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        y, _ = self.lstm(x)
        places = (lengths - 1).view(-1, 1, 1).expand(-1, 1, y.size(2))
        answer: Tensor = self.fc(y.gather(1, places).squeeze(1))
        return answer


class FinalOfPacked(Tagger):
    """The final h of packed sequences, as in text classifiers."""

    sort = False

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=self.sort)
        _, (h, _) = self.lstm(packed)
        answer: Tensor = self.fc(h[-1])
        return answer


class Sorted(FinalOfPacked):
    """Sequences that come sorted by their lengths."""

    sort = True


class TimeFirst(nn.Module):
    """Time first; the last frame of each sequence, by its length."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        y, _ = pad_packed_sequence(self.gru(pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False))[0])
        answer: Tensor = self.fc(y[lengths - 1, torch.arange(x.size(1))])
        return answer


RAGGED = torch.tensor([20, 12, 7])


@pytest.mark.parametrize("factory", [LastOfEach, LastOfEachPacked, Gathered, FinalOfPacked, Sorted, TimeFirst])
def test_sequences_of_ragged_lengths_stream_each_to_its_end(
    factory: Callable[[], nn.Module], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The module's batch is padded. A stream has no padding: its last answer equals that of the sequence."""
    torch.manual_seed(1)
    module = factory().eval()
    time_first = isinstance(module, TimeFirst)
    x = torch.randn(20, 3, 6) if time_first else torch.randn(3, 20, 6)
    report = export_model(module, (x, RAGGED), tmp_path / "m.onnx")
    assert capfd.readouterr().err == ""
    with torch.no_grad():
        wanted = module(x, RAGGED).numpy()
    for backend in ("native", "onnxruntime"):
        for row, length in enumerate(RAGGED.tolist()):
            frames = (x[:length, row] if time_first else x[row, :length]).numpy()
            stream = load(report.path, backend).stream()
            for chunk in np.split(frames, [1, 4]):
                answer = stream.push(chunk)
            np.testing.assert_allclose(np.asarray(answer), wanted[row], rtol=0, atol=2e-6)


class Averaged(Tagger):
    """A mean over the frames of a sequence."""

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        y, _ = self.lstm(x)
        mask = (torch.arange(x.size(1))[None] < lengths[:, None]).float()[..., None]
        answer: Tensor = self.fc((y * mask).sum(1) / lengths[:, None])
        return answer


def test_a_mean_over_ragged_lengths_is_refused_by_its_node(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="ReduceSum '/ReduceSum' pools over time"):
        export(Averaged, (torch.randn(3, 20, 6), RAGGED), tmp_path)
    assert not list(tmp_path.iterdir())


class Shorter(Tagger):
    """Lengths that leave the last frame out."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        packed = pack_padded_sequence(x, torch.full((x.size(0),), x.size(1) - 1), batch_first=True)
        answer: Tensor = self.fc(self.lstm(packed)[1][0][-1])
        return answer


def test_sequences_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    message = r"pack_padded_sequence by lengths \[19, 19, 19\] of 20 frames, wanted whole .*x.size\(1\) frames"
    with pytest.raises(UnsupportedError, match=message):
        export(Shorter, torch.randn(3, 20, 6), tmp_path)
