"""Spectra next to torchaudio, librosa and a stream."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tidegate as tg
import torch
from tidegate.frontend import Spectrogram
from tidegate.runtime import _kernels
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import ExportError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.operators import Fourier
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.reference import ReferenceStream
from tools.audio_peers import librosa, torchaudio
from tools.front_ends import Heard, error, features, sound, streamed

CASES: list[dict[str, Any]] = [
    {"n_fft": 400},
    {"n_fft": 512, "win_length": 400},
    {"n_fft": 400, "power": 1.0},
    {"n_fft": 321, "window_fn": torch.hamming_window, "normalized": True},
]
PADDED = 4096  # zeros in front, so that every frame of a peer is one of ours


@pytest.mark.parametrize("options", CASES, ids=["power", "short window", "magnitude", "hamming, normalized"])
def test_it_is_torchaudios(options: dict[str, Any]) -> None:
    samples, zeros = sound(), options["n_fft"] - 160
    peer = torchaudio().transforms.Spectrogram(**options, hop_length=160, center=False)
    wanted = peer(torch.from_numpy(np.pad(samples, (zeros, 0))))
    seen = error(features(Spectrogram(**options, hop_length=160), samples), wanted.numpy().T)
    print(f"torchaudio {options}: {seen:.1e}")
    assert seen < 1e-5


@pytest.mark.parametrize("power", [1.0, 2.0, 0.6, None])
def test_it_is_librosas(power: float | None) -> None:
    samples = sound()
    padded = np.pad(samples.astype(np.float64), (400 - 160, 0))
    wanted = librosa().stft(padded, n_fft=400, hop_length=160, center=False).T
    parts = np.stack((wanted.real, wanted.imag), -1) if power is None else np.abs(wanted) ** power
    seen = error(features(Spectrogram(400, hop_length=160, power=power), samples), parts)
    print(f"librosa, power {power}: {seen:.1e}")
    assert seen < 1e-5


@pytest.mark.parametrize("power", [2.0, 1.0, None])
def test_it_streams(power: float | None, tmp_path: Path) -> None:
    front, samples = Spectrogram(400, hop_length=160, power=power), sound(0.5)
    seen = error(streamed(front, samples, tmp_path), features(front, samples))
    print(f"stream, power {power}: {seen:.1e}")
    assert seen < 1e-5


def test_row_223_a_spectrum_of_a_file_has_the_bits_of_the_specification_on_every_variant(tmp_path: Path) -> None:
    path, samples = tmp_path / "s.onnx", sound(0.1)
    torch.manual_seed(0)
    tg.export_model(
        Heard(Spectrogram(400, hop_length=160), 201), torch.from_numpy(samples)[None], path, sample_rate=16000
    )
    graph = Graph.load(path)
    program = lower(graph)
    assert any(isinstance(op, Fourier) and op.roots.shape == (2, 400) for op in program.ops)
    assert any(tensor.dims == [400, 402] for tensor in graph.model.graph.initializer)  # for every other runtime
    plan, frames = compile_program(program, graph.contract), samples.reshape(-1, 160)
    assert len(plan) < 100_000  # the matrix alone has 643,200 bytes
    wanted = ReferenceStream(program).push(frames)
    for variant in _kernels.variants():
        found = NativeModel(plan, variant).stream().push(frames)
        for name in found:
            np.testing.assert_array_equal(found[name], wanted[name], strict=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"center": True}, "center is True, wanted False"),
        ({"n_fft": 256, "win_length": 400}, "win_length is 400, wanted at most n_fft, 256"),
        ({"n_fft": 0}, "n_fft is 0, wanted a positive integer"),
        ({"n_fft": 400, "window_fn": torch.ones(300)}, r"the window has shape \[300\], wanted \[400\]"),
    ],
)
def test_other_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        Spectrogram(**options)
