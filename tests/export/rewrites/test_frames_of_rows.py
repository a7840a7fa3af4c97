"""Strides over time: several rows make a frame, and a stream answers what the module answers to all of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.frontend import Log, MelSpectrogram
from tidegate.runtime.errors import ChunkError, ContractError, ExportError, UnsupportedError
from tidegate.runtime.load import Backend
from torch import Tensor, nn
from torch.nn.functional import pad

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


class Heard(nn.Module):
    """What comes before an LSTM 8 -> 6, over rows `[batch, rows, 10]`, by a function of the module."""

    def __init__(self, before: "Callable[[Heard, Tensor], Tensor]", features: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before = before
        self.wide, self.step = nn.Conv1d(10, 10, 3), nn.Conv1d(10, 8, 3, stride=2)
        self.more, self.both = nn.Conv1d(8, 8, 5, stride=3, dilation=2), nn.Conv2d(1, 2, 3, stride=(2, 2), padding=1)
        self.norm, self.lstm = nn.LayerNorm(8), nn.LSTM(features, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.lstm(self.before(self, x))[0]
        return answers


def one(net: Heard, x: Tensor) -> Tensor:
    answers: Tensor = net.step(pad(x.transpose(1, 2), (1, 0))).transpose(1, 2)
    return answers


def chain(net: Heard, x: Tensor) -> Tensor:
    y = x.transpose(1, 2)
    y = net.step(pad(y + torch.tanh(net.wide(pad(y, (2, 0)))), (1, 0)))
    y = net.more(pad(torch.relu(y), (7, 0)))
    answers: Tensor = net.norm(y.permute(0, 2, 1).reshape(y.size(0), -1, 8))
    return answers


def pooled(net: Heard, x: Tensor) -> Tensor:
    y = nn.functional.max_pool2d(torch.relu(net.both(x[:, None])), (3, 1), (2, 1), (1, 0))
    batch, channels, frames, bins = y.shape
    return y.permute(0, 2, 1, 3).reshape(batch, frames, channels * bins)


def moved(_: Heard, x: Tensor) -> Tensor:
    padded = pad(x, (0, 0, 3, 0))
    return (padded[:, 3:] - 0.5 * padded[:, :-3])[:, ::2]


def cut(net: Heard, x: Tensor) -> Tensor:
    answers: Tensor = net.step(pad(x.transpose(1, 2), (0, 3)))[..., :-1].transpose(1, 2)
    return answers


def bare(net: Heard, x: Tensor) -> Tensor:
    answers: Tensor = net.step(x.transpose(1, 2)).transpose(1, 2)
    return answers


FORMS: dict[str, tuple[Heard, int, int]] = {  # a module, rows of a frame, and lookahead
    "one": (Heard(one), 2, 0),
    "chain": (Heard(chain), 6, 0),
    "both sides": (Heard(cut), 2, 1),
    "without zeros": (Heard(bare), 2, 1),
    "bins and a pool": (Heard(pooled, 10), 4, 0),
    "an average": (Heard(lambda _, x: nn.functional.avg_pool1d(x.transpose(1, 2), 4).transpose(1, 2), 10), 4, 0),
    "stacked": (Heard(lambda _, x: x.reshape(x.size(0), x.size(1) // 3, 30), 30), 3, 0),
    "every second": (Heard(moved, 10), 2, 0),
}


def streamed(path: Path, frames: np.ndarray, chunk: int, backend: Backend = "native") -> np.ndarray:
    """Return the answers of a stream that is pushed so many frames at a time."""
    stream = tidegate.load(path, backend=backend).stream()
    parts = [stream.push(frames[start : start + chunk]) for start in range(0, len(frames), chunk)]
    parts.append(stream.finish())
    return np.concatenate([part for part in parts if part is not None])


@pytest.mark.parametrize("form", FORMS)
def test_row_216_rows_between_two_answers_are_a_frame(tmp_path: Path, form: str) -> None:
    """Strides over time were refused by name: no answer for each frame."""
    module, count, lookahead = FORMS[form]
    path = tmp_path / "m.onnx"
    report = tidegate.export_model(module, torch.randn(2, 7 * count, 10), path)
    assert (report.contract.lookahead, report.contract.samples, report.refused) == (lookahead, False, {})
    model = tidegate.load(path)
    assert model.frame_shape == (count, 10)
    rows = np.random.default_rng(0).standard_normal((12 * count, 10)).astype(np.float32)
    frames = rows.reshape(-1, count, 10)
    whole = streamed(path, frames, len(frames))
    for chunk in (1, 7):
        np.testing.assert_array_equal(streamed(path, frames, chunk), whole)
    with torch.no_grad():
        wanted = module(torch.from_numpy(rows)[None])[0].numpy()
    np.testing.assert_allclose(whole[: len(wanted)], wanted, atol=2e-6)
    np.testing.assert_allclose(streamed(path, frames, 5, "onnxruntime"), whole, atol=2e-6)


class Raw(nn.Module):
    """Samples `[batch, 1, samples]`, and convolutions that step by 4, 2 and 5."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.then, self.last = (
            nn.Conv1d(1, 6, 8, stride=4),
            nn.Conv1d(6, 6, 4, stride=2),
            nn.Conv1d(6, 6, 7, stride=5),
        )
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(pad(x, (4, 0))))
        y = self.last(pad(torch.relu(self.then(pad(y, (2, 0)))), (2, 0)))
        answer: Tensor = self.fc(self.gru(y.transpose(1, 2))[0][:, -1])
        return answer


def test_strides_over_samples_say_their_hop(tmp_path: Path) -> None:
    """A push takes plain samples, as of a front end; the weights are quantized, for they were trained."""
    path, module = tmp_path / "m.onnx", Raw()
    report = tidegate.export_model(module, torch.randn(1, 1, 400), path, sample_rate=16000)
    assert (report.contract.hop, report.contract.samples, report.contract.fixed) == (40, True, ())
    assert [state.input for state in report.contract.states] == [
        "first.tail_in",
        "then.tail_in",
        "last.tail_in",
        "gru.h_in",
    ]
    samples = np.random.default_rng(0).standard_normal(800).astype(np.float32)
    stream = tidegate.load(path).stream()
    stream.push(samples[:40])
    answer = stream.push(samples[40:])
    with torch.no_grad():
        np.testing.assert_allclose(answer, module(torch.from_numpy(samples)[None, None])[0].numpy(), atol=2e-6)
    with pytest.raises(ChunkError, match="100 samples, wanted whole frames of 40; keep the last 20"):
        stream.push(samples[:100])
    answers = tidegate.quantize(path, tmp_path / "q.onnx").answers
    assert answers is not None
    assert answers.error < 0.01
    with pytest.raises(ContractError, match="hop is 10, the front end of the module has hop_length 40; leave hop out"):
        tidegate.export_model(module, torch.randn(1, 1, 400), path, hop=10)


def test_strides_after_a_front_end_widen_its_hop(tmp_path: Path) -> None:
    class Spotter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(MelSpectrogram(16000, n_fft=128, hop_length=64, n_mels=16), Log())
            self.conv, self.gru = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.GRU(16, 8, batch_first=True)

        def forward(self, samples: Tensor) -> Tensor:
            answers: Tensor = self.gru(self.conv(self.features(samples)[:, None]).transpose(1, 2).flatten(2))[0]
            return answers

    path = tmp_path / "m.onnx"
    report = tidegate.export_model(Spotter(), torch.randn(1, 2048), path)
    assert (report.contract.hop, report.contract.samples, report.refused) == (128, True, {})
    assert {state.input for state in report.contract.states} == {
        "features.0.spectrogram.framing.tail_in",
        "conv.tail_in",
        "gru.h_in",
    }


def test_a_callers_hop_is_that_of_a_row(tmp_path: Path) -> None:
    report = tidegate.export_model(Heard(one), torch.randn(1, 20, 10), tmp_path / "m.onnx", sample_rate=16000, hop=160)
    assert (report.contract.hop, report.contract.frame_seconds) == (320, 0.02)


class Words(nn.Module):
    """Ids `[batch, rows]`."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.heard = nn.Embedding(20, 10), Heard(one)

    def forward(self, ids: Tensor) -> Tensor:
        answers: Tensor = self.heard(self.table(ids))
        return answers


class Twice(Heard):
    """A second answer for each row."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(x), 2 * x


class Late(Heard):
    """A stride after the LSTM."""

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = one(self, pad(self.lstm(x)[0], (0, 4)))
        return answers


def mirrored(net: Heard, x: Tensor) -> Tensor:
    answers: Tensor = net.step(pad(x.transpose(1, 2), (1, 0), mode="reflect")).transpose(1, 2)
    return answers


def twice_padded(net: Heard, x: Tensor) -> Tensor:
    answers: Tensor = net.step(pad(x.transpose(1, 2), (2, 2))).transpose(1, 2)
    return answers


def counted(net: Heard, x: Tensor) -> Tensor:
    return one(net, x + x.new_ones(1, x.size(1), 1).cumsum(1))


REFUSED: list[tuple[nn.Module, str]] = [
    (
        Heard(lambda net, x: one(net, x - x.mean(1, keepdim=True))),
        r"ReduceMean.*frame of 2 rows, and it pools over them",
    ),
    (Heard(mirrored), "Pad.*it pads the rows, and not by zeros; wanted zeros before the first row"),
    (Heard(twice_padded), "one frame of 2 rows, and 1 frames more than the signal has.*pad only on the left"),
    (
        Heard(counted),
        "Add.*it joins rows with .*, which has none",
    ),
    (
        Twice(one),
        "'output_1' has 2 answers for each step of the recurrent layers, wanted one; return it after the strides",
    ),
    (Late(one, 10), "a stride over time comes before all recurrent layers"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_no_frame_of_rows_can_hold_is_refused_by_name(tmp_path: Path, module: nn.Module, message: str) -> None:
    with pytest.raises((UnsupportedError, ExportError), match=message):
        tidegate.export_model(module, torch.randn(1, 24, 10), tmp_path / "m.onnx")


def test_ids_have_no_rows(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError,
        match="one frame of 2 ids, wanted one signal of floats: join the signals, or look the ids up before the model",
    ):
        tidegate.export_model(Words(), torch.randint(0, 20, (1, 24)), tmp_path / "m.onnx")
