"""torch.stft in a forward streams where a stream has its samples; else it is refused with a form that exports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tidegate
import torch
from tidegate.export.pytorch.spectra import Complex
from tidegate.frontend import Log, MelSpectrogram
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ExportError, UnsupportedError
from tools.audio_peers import torchaudio
from tools.front_ends import sound
from torch import Tensor, nn

Spectrum = Callable[[Tensor], Tensor]
SAMPLES = sound(0.1)


class Peer(nn.Module):
    """A spectrum, bins before frames, after some zeros and before a layer; answers the layer's answers and it."""

    def __init__(self, spectrum: Spectrum, bins: int, zeros: int = 0) -> None:
        super().__init__()
        self.spectrum, self.zeros, self.layer = spectrum, zeros, nn.GRU(bins, 3, batch_first=True)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:  # [batch, samples]
        padded = nn.functional.pad(samples, (self.zeros, 0)) if self.zeros else samples
        features = torch.log(self.spectrum(padded).transpose(1, 2) + 1e-3)
        return self.layer(features)[0], features


def stft(length: int, hop: int | None, **options: Any) -> Any:  # noqa: ANN401  complex, a tensor
    """Return a function of samples."""
    usual = {"window": torch.hann_window(options.get("win_length", length)), "center": False, "return_complex": True}
    asked: Any = usual | options
    return lambda samples: torch.stft(samples, length, hop, **asked)


def mel(**options: Any) -> nn.Module:  # noqa: ANN401  as torchaudio takes them
    """Return torchaudio's mel spectrum."""
    found: nn.Module = torchaudio().transforms.MelSpectrogram(16000, n_fft=64, hop_length=32, n_mels=8, **options)
    return found


def powers(samples: Tensor) -> Tensor:
    """Return a power spectrum as the sum of two squares, scaled, from a method of the samples."""
    spectrum = samples.stft(64, 32, window=torch.ones(64), center=False, return_complex=True) * 0.5
    power: Tensor = spectrum.real**2 + torch.imag(spectrum) ** 2
    return power


FORMS: dict[str, tuple[Callable[[], Spectrum], int, int]] = {  # the spectrum, its bins, its samples ahead
    "magnitudes": (lambda: lambda x: stft(64, 32)(x).abs(), 33, 32),
    "a short window": (lambda: lambda x: abs(stft(64, 16, win_length=48, normalized=True)(x)), 33, 48),
    "a quarter as hop": (lambda: lambda x: stft(64, None)(x)[..., :20, :].abs(), 20, 48),
    "hops apart": (lambda: lambda x: stft(32, 40)(x).abs(), 17, 0),
    "no window": (lambda: lambda x: stft(50, 32, window=None)(x).conj().abs(), 26, 18),
    "two parts": (lambda: lambda x: torch.view_as_real(stft(64, 32)(x)).pow(2).sum(-1), 33, 32),
    "real numbers": (lambda: lambda x: stft(64, 32, return_complex=False)(x).pow(2).sum(-1), 33, 32),
    "a sum of squares": (lambda: powers, 33, 32),
    "torchaudio's mel": (lambda: mel(center=False), 8, 32),
    "torchaudio's mel of magnitudes": (lambda: mel(center=False, power=1, normalized=True), 8, 32),
}


def exported(module: nn.Module, folder: Path) -> tidegate.ExportReport:
    """Export a module with an example, from a fixed start."""
    return tidegate.export_model(module, torch.from_numpy(SAMPLES)[None], folder / "m.onnx", sample_rate=16000)


def streamed(path: Path, hop: int) -> Floats:
    """Return the features of a stream in two chunks, and the same at once, with what comes at the end."""
    frames = SAMPLES[: SAMPLES.size // hop * hop].reshape(-1, hop)
    found = []
    for cut in (5, len(frames)):
        stream = tidegate.load(path).stream()
        parts = [stream.push(frames[:cut]), stream.push(frames[cut:]), stream.finish()]
        found.append(np.concatenate([part["output_1"] for part in parts if part is not None]))
    np.testing.assert_array_equal(found[0], found[1])
    answers: Floats = found[0]
    return answers


@pytest.mark.filterwarnings("ignore:A window was not provided", "ignore:stft with return_complex=False")
@pytest.mark.parametrize("form", FORMS)
def test_row_220_a_spectrum_in_the_forward_is_torchs_in_a_stream(form: str, tmp_path: Path) -> None:
    """As it is, with answers that come later; and after zeros in front, with answers that come at once."""
    made, bins, ahead = FORMS[form]
    spectrum = made()
    for zeros in {0, ahead}:
        torch.manual_seed(0)
        module = Peer(spectrum, bins, zeros).eval()
        report = exported(module, tmp_path)
        hop = report.contract.hop
        assert hop is not None
        assert report.contract.samples
        assert report.contract.looks_ahead == (zeros < ahead)
        assert not report.refused
        with torch.no_grad():
            wanted = module(torch.from_numpy(SAMPLES[: SAMPLES.size // hop * hop])[None])[1][0].numpy()
        seen = streamed(tmp_path / "m.onnx", hop)
        assert len(seen) == SAMPLES.size // hop
        assert len(wanted) == len(seen) - (-(-ahead // hop) if zeros < ahead else 0)
        assert np.abs(seen[: len(wanted)] - wanted).max() < 1e-4


def test_its_matrices_stay_float_and_have_names(tmp_path: Path) -> None:
    report = exported(Peer(mel(center=False), 8, 32), tmp_path)
    assert report.contract.fixed == ("spectrum.spectrogram.torch.stft.weight", "spectrum.mel_scale.fb")


@pytest.mark.parametrize(
    ("spectrum", "message"),
    [
        (
            lambda x: stft(64, 32, center=True)(x).abs(),
            r"forward calls torch.stft\(n_fft=64, hop_length=32, center",
        ),
        (lambda x: stft(64, 32, onesided=False)(x).abs()[..., :33, :], "onesided=False or align_to_window=True"),
        (lambda x: stft(64, 32)(x).abs() + stft(64, 16)(x).abs()[..., ::2][..., : x.size(-1) // 32 - 1], "differ"),
        (
            lambda x: stft(64, 32)(x).angle().abs(),
            "'angle' of a complex spectrum, wanted abs, real, imag or",
        ),
        (lambda x: torch.exp(stft(64, 32)(x)).abs(), "the forward uses 'exp' of a complex spectrum"),
    ],
)
def test_what_no_stream_has_is_refused(spectrum: Spectrum, message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        exported(Peer(spectrum, 33), tmp_path)
    assert not (tmp_path / "m.onnx").exists()


def test_both_ways_out_of_a_centred_spectrum_export(tmp_path: Path) -> None:
    message = (
        r"module 'spectrum' calls torch.stft.*center=False after n_fft - hop_length zeros in front: "
        r"torch.nn.functional.pad\(samples, \(32, 0\)\); or tidegate.frontend.MelSpectrogram\(n_fft=64, hop_length=32\)"
    )
    with pytest.raises(UnsupportedError, match=message):
        exported(Peer(mel(), 8), tmp_path)
    assert not exported(Peer(mel(center=False), 8, 32), tmp_path).contract.looks_ahead
    streams = nn.Sequential(MelSpectrogram(n_fft=64, hop_length=32, n_mels=8), Log(), nn.GRU(8, 3, batch_first=True))
    assert exported(streams, tmp_path).contract.samples


def test_other_zeros_are_refused_by_the_name_of_their_node(tmp_path: Path) -> None:
    """Behind the last sample, or so many in front that a frame lies before the first sample."""
    behind = Peer(lambda x: stft(64, 32)(nn.functional.pad(x, (0, 32))).abs(), 33)
    with pytest.raises(UnsupportedError, match=r"Pad.*wanted zeros in front of torch.stft"):
        exported(behind, tmp_path)
    with pytest.raises(ExportError):
        exported(Peer(lambda x: stft(64, 32)(x).abs(), 33, 100), tmp_path)


def test_complex_numbers_are_torchs() -> None:
    real, imaginary = torch.randn(2, 3), torch.randn(2, 3)
    own, peer = Complex(real, imaginary), torch.complex(real, imaginary)
    assert own.shape == peer.shape == (own.size(0), own.size(1))
    forms: list[Any] = [lambda z: (z / 2).conj(), lambda z: 3 * z.transpose(0, 1), lambda z: z.reshape(6)[1:]]
    for made in forms:
        torch.testing.assert_close(made(own).view_as_real(), torch.view_as_real(made(peer).resolve_conj()))
    torch.testing.assert_close(abs(own), peer.abs())
