"""Models as their authors write them, in full size: exported, then streamed on both backends."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from torch import nn

BACKENDS = ("native", "onnxruntime")


class LSTMModel(nn.Module):
    """The classifier of many tutorials: the last output, dropout, a linear layer."""

    def __init__(self, size: int, hidden: int, layers: int, classes: int, cell: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.rnn = cell(size, hidden, layers, batch_first=True, dropout=0.3 if layers > 1 else 0)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[batch, frames, size]` to `[batch, classes]`."""
        out, _ = self.rnn(x)
        logits: torch.Tensor = self.fc(self.dropout(out[:, -1, :]))
        return logits


class Classifier(nn.Module):
    """Token ids, then a linear layer on the final h."""

    def __init__(self, cell: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10000, 128)
        self.dropout = nn.Dropout(0.5)
        self.rnn = cell(128, 256, batch_first=True)  # type: ignore[call-arg, arg-type]
        self.fc = nn.Linear(256, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map `[batch, frames]` to `[batch, 3]`."""
        h_n = self.rnn(self.dropout(self.embedding(ids)))[1]
        logits: torch.Tensor = self.fc(h_n[-1])
        return logits


class CRNN(nn.Module):
    """Convolutions, two kinds of recurrent layers at two depths, norms and linear layers between them."""

    def __init__(self, padding: str | int, *, both: bool) -> None:
        super().__init__()
        width = 2 if both else 1
        self.front = nn.Sequential(
            *([] if padding == "same" else [nn.ConstantPad1d((2, 0), 0.0)]),
            *(nn.Conv1d(40, 32, 3, padding=padding), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2)),
        )
        self.encoder = nn.ModuleDict({"rnn": nn.LSTM(32, 24, batch_first=True, bidirectional=both)})
        self.norm, self.mix = nn.LayerNorm(24 * width), nn.Linear(24 * width, 16)
        self.decoder = nn.GRU(16, 12, 2, batch_first=True)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[batch, frames, 40]` to `[batch, frames, 5]`."""
        y = self.front(x.transpose(1, 2)).transpose(1, 2)
        y = torch.relu(self.mix(self.norm(self.encoder["rnn"](y)[0])))
        answer: torch.Tensor = torch.log_softmax(self.fc(self.decoder(y)[0]), -1)
        return answer


@pytest.mark.parametrize(("padding", "both"), [(0, False), ("same", False), ("same", True)])
def test_crnn_streams(tmp_path: Path, padding: str | int, both: bool) -> None:
    torch.manual_seed(0)
    model = CRNN(padding, both=both).eval()
    model.get_submodule("front.1" if padding == "same" else "front.2").running_mean = torch.linspace(-1, 1, 32)
    x = torch.randn(2, 20, 40)

    report = tidegate.export_model(model, x, tmp_path / "m.onnx")

    assert {"encoder.rnn.h_in", "decoder.h_in"} <= {state.input for state in report.contract.states}
    with torch.no_grad():
        wanted = model(x)[0].numpy()
    for backend in BACKENDS:
        stream = tidegate.load(tmp_path / "m.onnx", backend).stream()  # type: ignore[arg-type]
        pushed = [stream.push(chunk) for chunk in np.split(x[0].numpy(), [1, 4, 11])]
        answers = np.concatenate([a for a in [*pushed, stream.finish()] if isinstance(a, np.ndarray)])
        error = np.abs(answers - wanted).max() / np.abs(wanted).max()
        print(f"{backend}: {error:.1e}, wanted 1e-5")
        assert error < 1e-5


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_last_output_classifier_streams(tmp_path: Path, cell: type[nn.RNNBase], layers: int) -> None:
    torch.manual_seed(0)
    model = LSTMModel(100, 256, layers, 2, cell).eval()
    x = torch.randn(32, 20, 100)

    report = tidegate.export_model(model, x, tmp_path / "m.onnx")

    print(f"largest relative error {report.error:.1e}, wanted 1e-5")
    assert report.error <= 1e-5
    with torch.no_grad():
        wanted = model(x)[0].numpy()
    assert_streams(tmp_path / "m.onnx", x[0].numpy(), wanted)


@pytest.mark.parametrize("cell", [nn.GRU, nn.RNN])
def test_final_h_classifier_of_ids_streams(tmp_path: Path, cell: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    model = Classifier(cell).eval()
    ids = torch.randint(0, 10000, (4, 20))

    tidegate.export_model(model, ids, tmp_path / "m.onnx")

    with torch.no_grad():
        wanted = model(ids)[0].numpy()
    assert_streams(tmp_path / "m.onnx", ids[0].numpy(), wanted)


def assert_streams(path: Path, frames: np.ndarray, wanted: np.ndarray) -> None:
    """Push frames in chunks on both backends; the last answer equals the module's."""
    for backend in BACKENDS:
        stream = tidegate.load(path, backend).stream()  # type: ignore[arg-type]
        for chunk in np.split(frames, [1, 4, 11]):
            answer = np.asarray(stream.push(chunk))
        error = np.abs(answer - wanted).max() / np.abs(wanted).max()
        print(f"{backend}: {error:.1e}, wanted 1e-5")
        assert error < 1e-5
