"""Modules that read samples: their hop, their example, and what may stand before a front end."""

from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.export.pytorch.samples import as_frames, front_paths, hop_of
from tidegate.frontend import Framing, Log, Spectrogram
from tidegate.runtime.errors import ChunkError, ContractError, ExportError, UnsupportedError
from tools.front_ends import Heard
from torch import Tensor, nn

FRONT = nn.Sequential(Spectrogram(32, hop_length=16), Log())


def test_the_hop_is_that_of_all_front_ends() -> None:
    assert hop_of(FRONT) == 16
    assert hop_of(nn.LSTM(4, 4)) is None
    with pytest.raises(ExportError, match=r"several hops \(0 16, 1 8\), wanted the same hop_length for all"):
        hop_of(nn.Sequential(Framing(32, 16), Framing(32, 8)))


def test_front_ends_are_found_by_their_paths() -> None:
    assert front_paths(Heard(FRONT, 17)) == ["front.0", "front.0.framing", "front.1"]


def test_an_example_is_whole_frames() -> None:
    assert as_frames(torch.zeros(2, 100), 16).shape == (2, 6, 16)
    assert as_frames(torch.zeros(100), 16).shape == (6, 16)


@pytest.mark.parametrize(
    "example", [torch.zeros(1, 3, 100), torch.zeros(1, 15), torch.zeros(1, 100, dtype=torch.int64)]
)
def test_other_examples_are_refused(example: Tensor) -> None:
    with pytest.raises(ExportError, match=r"wanted samples for a front end: floats \[batch, samples\], at least 16"):
        as_frames(example, 16)


class Scaled(Heard):
    """Samples in 16-bit integers, as floats."""

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward((samples / 32768).clamp(-1, 1))


class Shifted(Heard):
    """Samples that are shifted by hand."""

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(nn.functional.pad(samples, (3, -3)))


def test_row_175_samples_go_in_and_answers_come_out(tmp_path: Path) -> None:
    """Also without a batch, and a push of plain samples; half a frame is refused, and changes nothing."""
    path = tmp_path / "m.onnx"
    samples = np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    report = tidegate.export_model(Scaled(FRONT, 17), torch.from_numpy(30000 * samples)[None], path)
    assert (report.contract.hop, report.contract.samples) == (16, True)
    assert report.contract.fixed == ("front.0.weight",)
    for backend in ("native", "onnxruntime"):
        model = tidegate.load(path, backend=backend)
        wanted = model.stream().push(samples.reshape(-1, 16))["output_0"]
        stream = model.stream()
        first = stream.push(samples[:160])["output_0"]
        with pytest.raises(ChunkError, match="chunk has 100 samples, wanted whole frames of 16; keep the last 4"):
            stream.push(samples[160:260])
        np.testing.assert_array_equal(np.concatenate([first, stream.push(samples[160:])["output_0"]]), wanted)


def test_another_hop_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="hop is 10, the front end of the module has hop_length 16; leave hop out"):
        tidegate.export_model(Heard(FRONT, 17), torch.randn(1, 400), tmp_path / "m.onnx", hop=10)


def test_row_176_what_reads_samples_must_read_them_one_by_one(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"Pad.*or a module of tidegate.frontend: Framing, Preemphasis or"):
        tidegate.export_model(Shifted(FRONT, 17), torch.randn(1, 400), tmp_path / "m.onnx")
