"""Signals of the project's own making: the same at every call, within bounds, cut into frames."""

import numpy as np
from signals import cut, features, magnitudes, sound


def test_a_sound_is_the_same_at_every_call_with_tones_and_pauses() -> None:
    samples = sound(16000, 1)
    np.testing.assert_array_equal(samples, sound(16000, 1))
    assert samples.shape == (16000,)
    assert samples.dtype == np.float32
    tone, pause = samples[1000:3000], samples[5000:7000]
    assert np.abs(samples).max() <= 1
    assert tone.std() > 2 * pause.std() > 0


def test_a_sound_has_no_overtone_above_half_its_rate() -> None:
    spectrum = np.abs(np.fft.rfft(sound(2000, 1)[:500]))
    assert spectrum.argmax() / 500 * 2000 < 400


def test_frames_overlap() -> None:
    frames = cut(np.arange(10, dtype=np.float32), 4, 2)
    np.testing.assert_array_equal(frames, [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]])
    assert frames.flags.c_contiguous


def test_magnitudes_are_of_each_frame() -> None:
    tone = np.cos(2 * np.pi * 2 * np.arange(16) / 8).astype(np.float32)
    np.testing.assert_allclose(magnitudes(tone, 8, 8), [[0, 0, 4, 0, 0]] * 2, atol=1e-6)


def test_features_change_slowly() -> None:
    made = features(5000, 8, scale=2, mean=-5)
    assert made.shape == (5000, 8)
    assert made.dtype == np.float32
    np.testing.assert_allclose([made.mean(), made.std()], [-5, 2], rtol=0.1)
    assert np.diff(made, axis=0).std() < made.std()
