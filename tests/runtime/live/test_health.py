"""Health: a signal like the one that was learned is quiet, and another is a warning with the name of the figure."""

import json
import re

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ModelError
from tidegate.runtime.live.health import BLOCK, IN_A_ROW, Learner, Observer, Profile, Watcher, lag_of
from tools.live import frames, small_model

MODEL = small_model()
LOUDNESS_NAME = "health: loudness of the inputs"


def learned(x: Floats) -> Profile:
    learner, stream = Learner(), MODEL.stream()
    for chunk in x.reshape(-1, 50, 3):
        stream.push(chunk)
        learner.take(chunk, stream)
    return Profile.from_json(learner.profile().to_json())


def warnings(profile: Profile, x: Floats) -> dict[str, str]:
    found: dict[str, str] = {}
    watcher, stream = Watcher(profile, found.__setitem__), MODEL.stream()
    for chunk in x.reshape(-1, 50, 3):
        stream.push(chunk)
        watcher.take(chunk, stream)
    return found


PROFILE = learned(frames(10_000))


def test_a_signal_like_the_learned_one_is_quiet() -> None:
    assert warnings(PROFILE, frames(50_000, seed=1)) == {}


def test_a_wrong_gain_is_a_warning_by_name() -> None:
    loud = warnings(PROFILE, 10 * frames(4000, seed=1))
    quiet = warnings(PROFILE, (frames(4000, seed=1) / 10).astype(np.float32))

    assert "health: loudness of the inputs" in loud
    assert "health: loudness of the inputs" in quiet
    said = re.fullmatch(r"health: loudness of the inputs is (.*), healthy is (.*) to .*", loud[LOUDNESS_NAME])
    assert said is not None
    assert float(said[1]) - float(said[2]) == pytest.approx(20, abs=0.5)  # dB


def test_a_state_that_grew_is_a_warning_by_name() -> None:
    found: dict[str, str] = {}
    watcher, stream = Watcher(PROFILE, found.__setitem__), MODEL.stream()
    for chunk in frames(1000, seed=1).reshape(-1, 50, 3):
        stream.set_state({"lstm0.c_in": np.full((1, 1, 5), 50, np.float32)})
        watcher.take(chunk, stream)

    assert set(found) >= {"health: norm of lstm0.c_in", "health: saturated share of lstm0.c_in"}


def test_a_constant_input_is_a_warning() -> None:
    assert "health: pace of the inputs" in warnings(PROFILE, np.full((4000, 3), 1.43, np.float32))


def test_a_short_disturbance_is_none() -> None:
    x = frames(5000, seed=2)
    x[1000 : 1000 + (IN_A_ROW - 1) * BLOCK] *= 10

    assert warnings(PROFILE, x) == {}


def test_pauses_are_not_too_quiet() -> None:
    """Also if they are four fifths of the signal, not three as before: the loudness is that of the loud frames."""
    talk = frames(10_000)
    talk.reshape(20, 500, 3)[:, 200:] /= 1000
    pause = frames(10_000, seed=1)
    pause.reshape(20, 500, 3)[:, 120:] /= 1000

    assert "health: loudness of the inputs" not in warnings(learned(talk), pause)
    assert "health: loudness of the inputs" in warnings(learned(talk), (pause / 10).astype(np.float32))


def test_a_signal_at_twice_the_rate_is_a_warning() -> None:
    """Loudness that goes up and down every ten frames; half of them left out is what twice the rate sounds like."""
    wave = 2 + np.sin(0.2 * np.pi * np.arange(20_000))[:, None]
    slow = np.asarray(wave * np.sign(frames(20_000)), np.float32)
    profile = learned(slow[:10_000])

    assert "health: pace of the inputs" not in warnings(profile, slow[10_000:])
    assert "health: pace of the inputs" in warnings(profile, slow[::2])


@pytest.mark.parametrize("size", [1, 3, 7, 250])
def test_figures_do_not_depend_on_chunks(size: int) -> None:
    """Blocks end with the chunk that fills them; changes go over the ends of chunks."""
    x, found = frames(3000).astype(np.float64), []
    observer = Observer(lag=2)
    for start in range(0, len(x), size):
        block = observer.take(x[start : start + size].astype(np.float32), MODEL.stream())
        found += [] if block is None else [block]
    found += [observer.block] if observer.block.levels else []
    near, far = sum(block.changes for block in found)

    roots = np.mean(x**2, axis=1) ** 0.125
    assert near == pytest.approx(np.sum((roots[2:] - roots[:-2]) ** 2), rel=1e-5)
    assert far == pytest.approx(np.sum((roots[4:] - roots[:-4]) ** 2), rel=1e-5)


def test_the_pace_compares_frames_of_a_fixed_time() -> None:
    assert [lag_of(seconds) for seconds in (None, 0.032, 0.01, 0.001, 1e-5, 10)] == [1, 1, 4, 40, 100, 1]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "1", json.dumps({"features": "x", "lag": 1, "ranges": {}}), "[" * 100_000]
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="not a profile of health; write one with `tidegate live --learn-health FILE`"):
        Profile.from_json(text)


def test_a_profile_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="lag 0, wanted 1 to 100; learn it again"):
        Profile.from_json(json.dumps({"features": 1, "lag": 0, "ranges": {}}))
    for low, high in (("NaN", "1"), ("0", "Infinity"), ("2", "1")):
        text = f'{{"features": 1, "lag": 1, "ranges": {{"pace": [{low}, {high}]}}}}'
        with pytest.raises(ModelError, match=r"health: pace is .* to .*, wanted finite numbers; learn it again"):
            Profile.from_json(text)
    with pytest.raises(ModelError, match="is of 3 input values, the model has 4; learn it again"):
        Watcher(PROFILE, lambda *_: None).take(frames(1, 4), MODEL.stream())
    with pytest.raises(ModelError, match="a profile of health needs at least 100 frames, 0 came"):
        Learner().profile()
