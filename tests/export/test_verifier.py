"""Files held against their modules and against each other."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper
from tidegate.cli import main
from tidegate.export import Verification, export_model, verify
from tidegate.export.verifier import Chunks
from tidegate.quant import quantize
from tidegate.runtime.errors import ExportError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import compile_model, load
from torch import Tensor, nn

SOURCE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.lstm(x)[0])
"""


class Net(nn.Module):
    """An answer for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc(self.lstm(x)[0])
        return answer


@dataclass(frozen=True)
class Made:
    """A module and its files."""

    module: Net
    folder: Path
    float32: Path
    int8: Path
    data: np.ndarray


@pytest.fixture
def made(tmp_path: Path) -> Made:
    torch.manual_seed(1)
    module, path = Net(), tmp_path / "m.onnx"
    export_model(module, torch.randn(1, 20, 6), path)
    quantize(path, tmp_path / "m.int8.onnx")
    data = np.random.default_rng(1).standard_normal((95, 6), np.float32)
    return Made(module, tmp_path, path, tmp_path / "m.int8.onnx", data)


def test_a_file_proves_equal_to_its_module_on_both_backends(made: Made) -> None:
    found = verify(made.float32, made.module)
    assert found.passed
    assert [backend.partition(" ")[0] for backend in found.backends] == ["native", "onnxruntime"]
    names = [check.name for check in found.checks]
    assert "native, in chunks of 17" in names
    assert "onnxruntime, in chunks of all" in names
    assert "native, bits that differ between chunks of 1, 3, 17, all" in names
    assert any("swapped" in name for name in names)
    print(max(check.error for check in found.checks if not check.must_differ))


def test_two_files_are_compared_over_data_and_time(made: Made) -> None:
    found = verify(made.int8, made.float32, data=made.data, limit=0.05)
    assert found.passed
    assert [(span.start, span.end) for span in found.over_time][::9] == [(0, 10), (86, 95)]
    assert 0 < max(span.largest for span in found.over_time) < 0.05
    assert not verify(made.int8, made.float32, data=made.data, limit=1e-6).passed


@pytest.mark.parametrize("name", ["m.int8.onnx", "m.int8.tide"])
@pytest.mark.parametrize("limit", [None, 0.01])
def test_row_68_a_quantized_file_is_held_against_its_module(made: Made, name: str, limit: float | None) -> None:
    """The limit counts in all checks, on the engine too; seen: 0.003."""
    compile_model(made.int8, made.folder / "m.int8.tide")
    found = verify(made.folder / name, made.module, data=made.data, limit=limit)
    assert found.passed
    limits = {check.tolerance for check in found.checks if "between chunks" not in check.name and not check.must_differ}
    assert limits == {limit or 0.05}


def test_a_quantized_file_beyond_the_limit_is_refused_with_the_way_out(made: Made) -> None:
    with pytest.raises(ExportError, match=r"at most 0.001 allowed; .* set a larger limit= \(--limit\)"):
        verify(made.int8, made.module, limit=1e-3)
    assert verify(made.int8, made.module, limit=1e-2).passed


def test_an_answer_per_chunk_has_its_error_over_time_too(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "m.onnx"
    export_model(nn.Sequential(Last(), nn.Linear(8, 3)), torch.randn(1, 20, 6), path)
    quantize(path, tmp_path / "q.onnx")
    assert len(verify(tmp_path / "q.onnx", path).over_time) == 10


class Last(nn.Module):
    """The last frame."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.gru(x)[0][:, -1]
        return answer


def limit_on_the_way(found: Verification) -> float:
    """Return a limit that an answer on the way exceeds, and the answers at the end do not."""
    worst = max(span.largest for span in found.over_time)
    assert found.over_time[-1].largest < 0.5 * worst
    return 0.7 * worst


@pytest.mark.parametrize("chunks", [(1, 3, "all"), ("all",), (7,)])
def test_row_55_an_answer_on_the_way_is_judged(chunks: tuple[Chunks, ...], tmp_path: Path) -> None:
    """Loud, then silent: the last answer is nearer to that of the float file than those before it."""
    torch.manual_seed(0)
    path, int8 = tmp_path / "m.onnx", tmp_path / "q.onnx"
    export_model(nn.Sequential(Last(), nn.Linear(8, 3)), torch.randn(1, 20, 6), path)
    quantize(path, int8)
    data = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    data[120:] = 0
    found = verify(int8, path, data=data, chunks=chunks)
    assert found.passed
    limit = limit_on_the_way(found)
    assert not verify(int8, path, data=data, chunks=chunks, limit=limit).passed
    assert verify(int8, path, data=data[120:], chunks=chunks, limit=limit).passed


@pytest.mark.parametrize("frames", [20, 150])
def test_a_module_is_asked_for_answers_on_the_way(frames: int, tmp_path: Path) -> None:
    """The module answers otherwise while a value of its last frame is negative; the last frame is positive."""

    class Odd(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return answer + 1e-3 * (x[:, -1, :1] < 0)

    torch.manual_seed(0)
    module = nn.Sequential(Last(), nn.Linear(8, 3))
    export_model(module, torch.randn(1, 20, 6), tmp_path / "m.onnx")
    compile_model(tmp_path / "m.onnx", tmp_path / "m.tide")  # of a plan, verify has no proof on data of its own
    data = np.abs(np.random.default_rng(0).standard_normal((frames, 6)).astype(np.float32))
    assert verify(tmp_path / "m.tide", Odd(*module), data=data, limit=1e-4).passed
    wrong = np.concatenate([data, data])
    wrong[4:6] *= -1  # of 2 neighbours, at least one is among the 256 answers
    found = verify(tmp_path / "m.tide", Odd(*module), data=wrong, limit=1e-4)
    assert not found.passed
    assert len(found.over_time) == 10


def test_columns_say_what_they_are(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(made.folder / "x.npy", made.data)
    names = [str(made.folder / name) for name in ("m.int8.onnx", "m.onnx", "x.npy")]
    assert _status(["verify", names[0], "--against", names[1], "--data", names[2], "--json"]) == 0
    spans = json.loads(capsys.readouterr().out)["over_time"]
    assert set(spans[0]) == {"output", "start", "end", "largest", "rms"}
    found = verify(made.int8, made.float32, data=made.data)
    seen, wanted = (np.asarray(load(path).stream().push(made.data)) for path in (made.int8, made.float32))
    first = slice(0, found.over_time[0].end)
    gap = (seen - wanted)[first]
    assert found.over_time[0].rms == pytest.approx(np.sqrt(np.mean(gap**2) / np.mean(wanted[first] ** 2)), rel=1e-2)
    assert found.over_time[0].largest == pytest.approx(np.abs(gap).max() / np.abs(wanted).max(), rel=1e-2)
    assert _status(["verify", names[0], "--against", names[1], "--data", names[2]]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "largest error" in printed
    assert "rms error" in printed


def test_a_loud_net_verifies_within_its_rounding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(Last(), nn.Linear(8, 3))
    with torch.no_grad():
        for tensor in module[0].parameters():
            tensor.mul_(12)
    export_model(module, torch.randn(1, 20, 6), tmp_path / "m.onnx")
    data = np.random.default_rng(0).standard_normal((60, 6)).astype(np.float32)
    assert verify(tmp_path / "m.onnx", module, data=data).passed


def test_another_module_does_not_pass(made: Made) -> None:
    with pytest.raises(ExportError, match=r"whole, at the example: output 'output' at .*: seen"):
        verify(made.float32, Net())


def test_a_damaged_weight_is_seen(made: Made) -> None:
    model = onnx.load(made.float32)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "lstm.weight_hh_l1")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0, 0] += 0.1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, made.folder / "bad.onnx")
    assert not verify(made.folder / "bad.onnx", made.float32, data=made.data).passed


def test_a_plan_is_compared_over_data(made: Made) -> None:
    compile_model(made.int8, made.folder / "m.tide")
    found = verify(made.folder / "m.tide", made.int8, data=made.data)
    assert found.passed
    assert "a compiled plan runs only on backend='native'" in found.refused["onnxruntime"]
    with pytest.raises(ExportError, match=r"a plan can be compared only on a signal of yours: data= \(--data\)"):
        verify(made.folder / "m.tide", made.int8)


def test_a_file_of_another_shape_is_refused(made: Made) -> None:
    torch.manual_seed(1)
    export_model(nn.Sequential(Last(), nn.Linear(8, 2)), torch.randn(1, 20, 6), made.folder / "o.onnx")
    with pytest.raises(ExportError, match=r"output 'output' has shape \[50, 2\], wanted \[50, 3\]"):
        verify(made.folder / "o.onnx", made.float32)


def test_the_command(made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(made.folder)
    (made.folder / "verified.py").write_text(SOURCE)
    safetensors.torch.save_file(made.module.state_dict(), "w.safetensors")
    np.save("x.npy", made.data)
    assert _status(["verify", "m.onnx", "--against", "verified:Net", "--weights", "w.safetensors"]) == 0
    assert "Run on native" in capsys.readouterr().out
    compare = ["verify", "m.int8.onnx", "--against", "m.onnx", "--data", "x.npy", "--chunks", "1,7,all"]
    assert _status([*compare, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is True
    assert len(told["over_time"]) == 10
    assert _status([*compare, "--limit", "1e-7"]) == 1
    assert "FAILED" in capsys.readouterr().out
    assert _status([*compare, "--chunks", "0"]) == 2


def _status(arguments: list[str]) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code or 0


def test_the_contract_is_that_of_the_file(made: Made) -> None:
    assert Graph.load(made.float32).contract.outputs[0].name == "output"


def test_ids_of_ones_own_are_compared_where_the_answer_comes_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(11, 5)
            self.lstm, self.fc = nn.LSTM(5, 8, batch_first=True, bidirectional=True), nn.Linear(16, 3)

        def forward(self, ids: Tensor) -> Tensor:
            h = self.lstm(self.embedding(ids))[1][0]
            answer: Tensor = self.fc(torch.cat((h[0], h[1]), 1))
            return answer

    export_model(Classifier(), torch.randint(11, (2, 9)), tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", tmp_path / "q.onnx")
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(0, 11, 40))
    names = [str(tmp_path / name) for name in ("q.onnx", "m.onnx", "ids.npy")]
    with pytest.raises(SystemExit, match="0"):
        main(["verify", names[0], "--against", names[1], "--data", names[2]])
    assert "native, in chunks of 17" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["verify", names[1], "--data", names[2], "--block", "8", "--lookaheads", "0,8"])
    assert "Agreement with offline, blocks of 8" in capsys.readouterr().out
