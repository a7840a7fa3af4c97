"""Several signals and static inputs on the command line: from export to a device folder."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tidegate
from tools.commands import Command, assert_refused

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.gru, self.fc = nn.GRU(9, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, near, far, speaker):
        wide = speaker[:, None].expand(-1, near.shape[1], -1)
        return self.fc(self.gru(torch.cat([near, far, wide], 2))[0])
"""


@pytest.fixture
def echo(tide: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with echo.onnx, its signals x.npz and its static input s.npy."""
    pytest.importorskip("torch")
    Path("echo_net.py").write_text(NET)
    monkeypatch.delitem(sys.modules, "echo_net", raising=False)
    outcome = tide("export", "echo_net:Net", "--example", "2x9x3,2x9x2,2x4", "-o", "echo.onnx")
    assert outcome.status == 0, outcome.err
    rng = np.random.default_rng(1)
    near, far, speaker = (rng.standard_normal(shape, np.float32) for shape in ((200, 3), (200, 2), (1, 4)))
    np.savez("x.npz", near=near, far=far)
    np.savez("calibration.npz", near=near, far=far, speaker=speaker)
    np.savez("short.npz", near=near, far=far[:9])
    np.savez("one.npz", near=near)
    np.save("s.npy", speaker)
    return folder


def test_row_94_named_signals_from_run_to_a_device_folder(echo: Path, tide: Command) -> None:
    arrays = np.load("x.npz")
    wanted = tidegate.load("echo.onnx").stream({"speaker": np.load("s.npy")}).push(dict(arrays))
    outcome = tide("run", "echo.onnx", "x.npz", "--set", "speaker=s.npy", "--chunk", "7", "-o", "y.npy")
    assert outcome.status == 0, outcome.err
    np.testing.assert_array_equal(np.load("y.npy"), wanted)

    outcome = tide("inspect", "echo.onnx")
    assert "near" in outcome.out
    assert "state static" in outcome.out
    outcome = tide("verify", "echo.onnx", "--against", "echo_net:Net", "--data", "x.npz")
    assert outcome.status == 0, outcome.err
    outcome = tide("quantize", "echo.onnx", "-o", "echo.int8.onnx", "--calibration", "calibration.npz")
    assert outcome.status == 0, outcome.err
    made = tidegate.load("echo.int8.onnx").stream({"speaker": np.load("s.npy")}).push(dict(arrays))
    np.testing.assert_allclose(made, wanted, rtol=0, atol=0.05)

    outcome = tide("compile", "echo.onnx", "--target", "generic", "-o", "out")
    assert outcome.status == 0, outcome.err
    header = (echo / "out" / "echo.h").read_text()
    for line in ("ECHO_SIGNAL_NEAR = 0,", "ECHO_SIGNAL_FAR = 3,", "ECHO_SIGNAL_FAR_FEATURES = 2,"):
        assert line in header
    assert "ECHO_STATIC_SPEAKER = 0, /* for tide_state_write */" in header


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "echo.onnx", "short.npz"],
            r"short\.npz: signals 'far' and 'near' have 9 and 200 frames, wanted the same",
        ),
        (["run", "echo.onnx", "one.npz"], r"one\.npz: chunk has no signal 'far'; the model has near, far"),
        (["run", "echo.onnx", "s.npy"], r"s\.npy: has shape \(1, 4\), wanted \(frames, 5\)"),
        (["run", "echo.onnx", "x.npz", "--set", "voice=s.npy"], "state 'voice' is not one of the model, which has"),
        (["quantize", "echo.onnx", "-o", "q.onnx", "--calibration", "x.npz"], "stream 0 has no static input 'speaker'"),
    ],
)
def test_signals_that_do_not_fit_are_refused_by_name(arguments: list[str], message: str, tide: Command) -> None:
    assert_refused(tide(*arguments), message)
