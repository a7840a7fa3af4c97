"""Layers without a rule in torch's exporter: their parts compute the same, and nothing is left behind."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.export.pytorch.in_parts import in_parts
from tidegate.runtime.load import load
from torch import Tensor, nn


@pytest.mark.parametrize(
    ("shape", "options"),
    [((4,), {}), ((4,), {"eps": 0.1}), ((4,), {"elementwise_affine": False}), ((3, 4), {})],
)
def test_parts_of_rms_norm_compute_what_torch_computes(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    norm, x = nn.RMSNorm(shape, **options), torch.linspace(-2, 5, 24).reshape(2, 3, 4)
    if norm.weight is not None:
        nn.init.uniform_(norm.weight)
    plain, wanted = nn.functional.rms_norm, norm(x)
    with in_parts():
        assert nn.functional.rms_norm is not plain
        torch.testing.assert_close(norm(x), wanted)
    assert nn.functional.rms_norm is plain


def test_row_62_a_model_with_rms_norm_streams(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.norm = nn.LSTM(3, 4, batch_first=True), nn.RMSNorm(4)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.norm(self.lstm(x)[0])
            return answer

    module, x = Net().eval(), torch.linspace(-1, 1, 33).reshape(11, 3)
    path = export_model(module, x[None, :9], tmp_path / "m.onnx").path
    with torch.no_grad():
        wanted = module(x[None])[0].numpy()
    for backend in ("native", "onnxruntime"):
        seen = load(path, backend).stream().push(x.numpy())
        np.testing.assert_allclose(np.asarray(seen), wanted, atol=2e-6)
