"""Health on the real speech detector and speaker encoder: four minutes of speech, and the same with three faults."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tidegate
import torch
from tidegate.benchmarks.tasks import speaker, vad
from tidegate.benchmarks.tasks.task import named, recording, tensors
from tidegate.runtime.arrays import Floats
from tidegate.runtime.live.health import BLOCK, SPAN, Learner, Watcher
from tidegate.runtime.streams import Model
from tools.shared import shared_folder

LOUDNESS, PACE = "health: loudness of the inputs", "health: pace of the inputs"
Features = Callable[[Floats], Floats]


def recordings(split: str) -> Iterator[Floats]:
    """Yield recordings of 40 s: four to learn from, or six others."""
    folder = shared_folder("vad")
    names = [mix["file"] for mix in json.loads((folder / "mixes.json").read_text()) if mix["split"] == split]
    for name in names[:3]:
        for kind in ("clean", "noisy"):
            yield recording(folder / f"{name}_{kind}.flac")


def detector(folder: Path) -> tuple[Model, Features]:
    """Return Silero's net behind its convolutions, and what makes its frames of 32 ms."""
    weights = tensors(shared_folder("silero_vad") / "silero_vad_v6_16k.safetensors")
    module = vad.Detector()
    lstm = {f"lstm.{key}_l0": weights[f"lstm_cell.{key}"] for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    final = {"final.weight": weights["final_conv.weight"][:, :, 0], "final.bias": weights["final_conv.bias"]}
    module.load_state_dict(lstm | final)
    tidegate.export_model(module, torch.rand(1, 20, 128), folder / "m.onnx", sample_rate=16000 / vad.STEP)
    return tidegate.load(folder / "m.onnx"), lambda samples: vad.features(samples, weights)


def encoder(folder: Path) -> tuple[Model, Features]:
    """Return the speaker encoder, and what makes its frames of 10 ms; no recording is amplified on its own."""
    weights = tensors(shared_folder("speaker_encoder") / "resemblyzer_lstm256x3.safetensors")
    module, basis = speaker.Encoder(), weights["mel_basis"].numpy()
    module.load_state_dict(named(weights, "lstm.", "linear."))
    tidegate.export_model(module, torch.rand(1, 20, 40), folder / "m.onnx", sample_rate=100)

    def features(samples: Floats) -> Floats:
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 200), 400)[::160]
        made: Floats = (np.abs(np.fft.rfft(frames * np.hanning(401)[:-1])) ** 2 @ basis.T).astype(np.float32)
        return made

    return tidegate.load(folder / "m.onnx"), features


def at_twice_the_rate(samples: Floats) -> Floats:
    """Return what is heard if half of the samples are given for all."""
    half: Floats = np.convolve(samples, [0.25, 0.5, 0.25], "same")[::2].astype(np.float32)
    return half


FAULTS: dict[str, tuple[Callable[[Floats], Floats], str]] = {
    "too quiet": (lambda samples: np.float32(0.1) * samples, LOUDNESS),
    "too loud and clipped": (lambda samples: np.clip(20 * samples, -0.3, 0.3), LOUDNESS),
    "twice the rate": (at_twice_the_rate, PACE),
}


@pytest.mark.slow
@pytest.mark.parametrize("made", [detector, encoder])
def test_row_222_faults_are_told_from_a_healthy_signal(
    made: Callable[[Path], tuple[Model, Features]], tmp_path: Path
) -> None:
    model, features = made(tmp_path)
    learner = Learner(model.contract.frame_seconds)

    def streamed(parts: list[Floats], take: Callable[..., None]) -> None:
        stream = model.stream()
        frames = np.concatenate([features(part) for part in parts])
        for chunk in np.array_split(frames, len(frames) // 50):
            stream.push(chunk)
            take(chunk, stream)

    streamed(list(recordings("calib")), learner.take)
    profile, heard = learner.profile(), list(recordings("test"))

    def warned(parts: list[Floats]) -> dict[str, float]:
        """Return how often there is each warning, in shares of the blocks whose inputs are judged."""
        found, blocks = Counter[str](), sum(len(features(part)) for part in parts) // BLOCK - SPAN
        streamed(parts, Watcher(profile, lambda name, _: found.update([name])).take)
        return {name: found[name] / blocks for name in (LOUDNESS, PACE)}

    healthy = warned(heard)
    print("healthy", healthy)
    assert healthy[LOUDNESS] == 0
    for fault, (change, name) in FAULTS.items():
        shares = warned([change(part) for part in heard])
        print(fault, shares)
        assert shares[name] > max(0.5, 3 * healthy[name])
