"""Heads that squeeze, and answers of one number: what a user loads streams what the module answers for one stream."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from tidegate.cli import main
from tidegate.export import export_model, lift, verify
from tidegate.runtime.contract import METADATA_KEY
from tidegate.runtime.errors import ContractError, ModelError
from tidegate.runtime.load import load
from torch import Tensor, nn

X = np.random.default_rng(0).standard_normal((9, 6)).astype(np.float32)
BACKENDS: tuple[Literal["native", "onnxruntime"], ...] = ("native", "onnxruntime")


class Net(nn.Module):
    """An LSTM with a head."""

    def __init__(self, head: Callable[["Net", Tensor, Tensor], Tensor], values: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.fc, self.head = nn.LSTM(6, 16, batch_first=True), nn.Linear(16, values), head

    def forward(self, x: Tensor) -> Tensor:
        y, (h, _) = self.lstm(x)
        return self.head(self, y, h)


HEADS: dict[str, tuple[Callable[[Net, Tensor, Tensor], Tensor], int]] = {
    "fc(h.squeeze())": (lambda net, _, h: net.fc(h.squeeze()), 3),
    "fc(last).squeeze()": (lambda net, y, _: net.fc(y[:, -1]).squeeze(), 1),
    "fc(last).squeeze(-1)": (lambda net, y, _: net.fc(y[:, -1]).squeeze(-1), 1),
    "fc(last).flatten()": (lambda net, y, _: net.fc(y[:, -1]).flatten(), 1),
    "fc(y).squeeze()": (lambda net, y, _: net.fc(y).squeeze(), 1),
    "fc(y)[..., 0]": (lambda net, y, _: net.fc(y)[..., 0], 1),
    "sigmoid(fc(h.squeeze(0)).squeeze())": (lambda net, _, h: torch.sigmoid(net.fc(h.squeeze(0)).squeeze()), 1),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("head", HEADS)
def test_row_54_a_head_with_a_squeeze_streams_the_answers_of_the_module(head: str, batch: int, tmp_path: Path) -> None:
    net = Net(*HEADS[head]).eval()
    report = export_model(net, torch.randn(batch, 20, 6), tmp_path / "m.onnx")
    assert report.refused == {}
    with torch.no_grad():
        wanted = net(torch.from_numpy(X)[None]).numpy()
    timed = report.contract.outputs[0].time_axis is not None
    for backend in BACKENDS:
        stream = load(tmp_path / "m.onnx", backend).stream()
        found = [np.asarray(stream.push(part)) for part in (X[:4], X[4:])]
        answer = np.concatenate(found) if timed else found[-1]
        assert answer.shape == ((9, 1) if timed else (HEADS[head][1],))
        np.testing.assert_allclose(answer.reshape(-1), wanted.reshape(-1), atol=1e-6)


# ---- the last frame, by its number, or with an axis of one frame ----

LAST: dict[str, tuple[Callable[[Net, Tensor, Tensor], Tensor], tuple[int, ...]]] = {
    "y[:, -1:]": (lambda net, y, _: net.fc(y[:, -1:]), (1, 3)),
    "y[:, [-1]]": (lambda net, y, _: net.fc(y[:, [-1]]), (1, 3)),
    "y[:, n - 1]": (lambda net, y, _: net.fc(y[:, y.shape[1] - 1]), (3,)),
    "y[:, n - 1:]": (lambda net, y, _: net.fc(y[:, y.shape[1] - 1 :]), (1, 3)),
    "y.narrow(1, n - 1, 1)": (lambda net, y, _: net.fc(y.narrow(1, y.shape[1] - 1, 1)), (1, 3)),
    "y[:, -1:] of all features": (lambda net, y, _: net.fc(y)[:, -1:, :], (1, 3)),
    "y.unbind(1)[-1]": (lambda net, y, _: net.fc(y).unbind(1)[-1], (3,)),
    "y.split(1, 1)[-1]": (lambda net, y, _: net.fc(y.split(1, dim=1)[-1]), (1, 3)),  # type: ignore[no-untyped-call]
    "y.split(1, 1)[-1].squeeze(1)": (lambda net, y, _: net.fc(y.split(1, dim=1)[-1].squeeze(1)), (3,)),  # type: ignore[no-untyped-call]
    "y[:, -1:], features first": (lambda net, y, _: net.fc(y[:, -1:]).transpose(1, 2), (3, 1)),
}


@pytest.mark.parametrize("head", LAST)
def test_row_124_the_last_frame_streams_on_the_engine_however_it_is_taken(head: str, tmp_path: Path) -> None:
    take, shape = LAST[head]
    net = Net(take, 3).eval()
    report = export_model(net, torch.randn(2, 20, 6), tmp_path / "m.onnx")
    assert report.refused == {}
    with torch.no_grad():
        wanted = [net(torch.from_numpy(X[:end])[None])[0].numpy() for end in (4, 9)]
    for backend in BACKENDS:
        stream = load(tmp_path / "m.onnx", backend).stream()
        for part, answer in zip((X[:4], X[4:]), wanted, strict=True):
            seen = np.asarray(stream.push(part))
            assert seen.shape == answer.shape == shape
            np.testing.assert_allclose(seen, answer, atol=1e-6)


# ---- functions of the features that read how many there are ----

SCALED: dict[str, Callable[[Net, Tensor, Tensor], Tensor]] = {
    "by the deviation": lambda net, y, _: net.fc((y - y.mean(-1, keepdim=True)) / (y.std(-1, keepdim=True) + 1e-5)),
    "by the variance": lambda _, y, __: y * torch.rsqrt(y.var(-1, keepdim=True) + 1e-5),
    "by size(-1)": lambda net, y, _: net.fc(y) / y.size(-1) ** 0.5,
    "by shape[2]": lambda net, y, _: net.fc(y) / y.shape[2],
    "of the final h": lambda net, _, h: net.fc((h[-1] - h[-1].mean(1, keepdim=True)) / h[-1].std(1, keepdim=True)),
}


@pytest.mark.parametrize("head", SCALED)
def test_row_162_answers_scaled_by_the_number_of_features_stream_on_the_engine(head: str, tmp_path: Path) -> None:
    net = Net(SCALED[head], 3).eval()
    report = export_model(net, torch.randn(2, 20, 6), tmp_path / "m.onnx")
    assert report.refused == {}
    with torch.no_grad():
        wanted = net(torch.from_numpy(X)[None])[0].numpy()
    np.testing.assert_allclose(np.asarray(load(tmp_path / "m.onnx").stream().push(X)), wanted, atol=2e-6)


@pytest.mark.parametrize("head", ["fc(h.squeeze())", "fc(last).squeeze()"])
def test_such_a_file_verifies_against_its_module(head: str, tmp_path: Path) -> None:
    net = Net(*HEADS[head])
    export_model(net, torch.randn(1, 20, 6), tmp_path / "m.onnx")
    assert verify(tmp_path / "m.onnx", net).passed


@pytest.mark.filterwarnings("ignore")  # torch says that its exporter is old
@pytest.mark.parametrize("head", ["fc(h.squeeze())", "fc(last).squeeze()", "fc(y).squeeze()"])
def test_a_foreign_file_with_a_squeeze_is_lifted(head: str, tmp_path: Path) -> None:
    net, source = Net(*HEADS[head]).eval(), tmp_path / "foreign.onnx"
    free = {"x": {0: "batch", 1: "time"}}
    torch.onnx.export(
        net, (torch.randn(2, 9, 6),), str(source), dynamo=False, input_names=["x"], dynamic_axes=free, opset_version=17
    )
    lift(source, tmp_path / "m.onnx")
    with torch.no_grad():
        wanted = net(torch.from_numpy(X)[None]).numpy().reshape(-1)
    for backend in BACKENDS:
        answer = load(tmp_path / "m.onnx", backend).stream().push(X)
        np.testing.assert_allclose(np.asarray(answer).reshape(-1), wanted, atol=1e-6)


@pytest.mark.parametrize("head", ["fc(last).squeeze(-1)", "fc(last).squeeze()", "fc(y).squeeze()", "fc(y)[..., 0]"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_number_is_printed_and_written(
    head: str, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = Net(*HEADS[head]).eval()
    export_model(net, torch.randn(2, 20, 6), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", X)
    command = ["run", str(tmp_path / "m.onnx"), str(tmp_path / "x.npy"), "--backend", backend]
    for more in ([], ["-o", str(tmp_path / "o.npy")]):
        with pytest.raises(SystemExit, match="0"):
            main([*command, *more])
    printed = np.array(capsys.readouterr().out.split(), float)
    with torch.no_grad():
        wanted = np.array([net(torch.from_numpy(X[: end + 1])[None]).reshape(-1)[-1].item() for end in range(9)])
    np.testing.assert_allclose(printed, wanted, atol=1e-4)
    np.testing.assert_allclose(np.load(tmp_path / "o.npy").reshape(-1), wanted, atol=1e-5)


def test_a_batch_that_is_squeezed_by_number_is_refused_with_the_way_out(tmp_path: Path) -> None:
    net = Net(lambda net, y, _: net.fc(y).squeeze(0), 3)
    with pytest.raises(ContractError, match=r"keep the batch axis: squeeze\(\) may drop it"):
        export_model(net, torch.randn(1, 20, 6), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    net.head = lambda net, y, _: net.fc(y)
    export_model(net, torch.randn(1, 20, 6), tmp_path / "m.onnx")


def test_an_answer_without_an_axis_of_its_contract_is_refused_by_name(tmp_path: Path) -> None:
    """A file whose contract says more axes than its answer has, as earlier exports wrote it."""
    export_model(Net(*HEADS["fc(last).squeeze()"]), torch.randn(1, 20, 6), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    entry = next(entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    fields = json.loads(entry.value)
    fields["outputs"][0] |= {"time_axis": 2}
    entry.value = json.dumps(fields)
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(ModelError, match=r"has shape \(1, 1\), but the contract names its axis 2"):
        load(tmp_path / "bad.onnx", "onnxruntime").stream().push(X)
