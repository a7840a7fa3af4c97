"""Signals of the project's own making, the same at every call: what the models of the gallery are given."""

from dataclasses import dataclass, field

import numpy as np
from cells import Doubles, Floats
from numpy.typing import NDArray

SYLLABLE = 0.25  # seconds of a tone, then as long a pause with noise only
HARMONICS = 12
NOISE = 0.01  # of full scale


@dataclass(frozen=True)
class Stream:
    """A signal and what the original answers to it.

    Attributes:
        frames: What is pushed: float32 `[frames, features]`, or ids `[frames]`.
        answers: The original's answers: one for each frame, or only the last one.
        start: States that the stream starts from, by name, float32; others start as in the model.
        last: Whether only the answer after the last frame counts.
        output: The output that is compared, if the model has several; empty: its only one.
    """

    frames: NDArray[np.generic]
    answers: Doubles
    start: dict[str, Floats] = field(default_factory=dict)
    last: bool = False
    output: str = ""


def sound(rate: float, seconds: float) -> Floats:
    """Return samples `[rate * seconds]` within -1 and 1: tones with overtones, apart by pauses, in faint noise."""
    random = np.random.default_rng(0)
    time = np.arange(int(rate * seconds)) / rate
    syllable = (time // (2 * SYLLABLE)).astype(int)
    pitch = random.uniform(100, 300, syllable[-1] + 1)[syllable] * (1 + 0.02 * np.sin(2 * np.pi * 5 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    loud = random.uniform(0.05, 0.5, syllable[-1] + 1)[syllable]
    shape = np.sin(np.pi * (time % (2 * SYLLABLE)) / SYLLABLE).clip(0) * loud
    overtones = np.arange(1, HARMONICS + 1)
    tones = sum(np.sin(k * phase) / k for k in overtones[overtones * 350 < rate / 2]) / 2
    made: Doubles = shape * tones + NOISE * random.standard_normal(len(time))
    return made.astype(np.float32)


def cut(samples: Floats, frame: int, hop: int) -> Floats:
    """Return frames `[count, frame]` of samples, the next one `hop` samples later."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, frame)
    return np.ascontiguousarray(windows[::hop])


def magnitudes(samples: Floats, frame: int, hop: int) -> Floats:
    """Return the magnitudes of the spectrum `[count, frame // 2 + 1]` of each frame, without a window."""
    spectrum = np.fft.rfft(cut(samples, frame, hop).astype(np.float64))
    return np.abs(spectrum).astype(np.float32)


def features(frames: int, width: int, scale: float, mean: float = 0.0) -> Floats:
    """Return slow noise `[frames, width]`: each value is normal, and like the one before it.

    It takes the place of features (cepstra, filterbanks) that the original computes in code of its own.
    """
    random = np.random.default_rng(0)
    made = np.empty((frames, width))
    value = random.standard_normal(width)
    for frame in made:
        value = 0.9 * value + np.sqrt(1 - 0.9**2) * random.standard_normal(width)
        frame[:] = value
    return (mean + scale * made).astype(np.float32)
