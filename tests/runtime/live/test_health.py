"""Health: a signal like the one that was learned is quiet, and another is a warning with the name of the figure."""

import json
import re

import numpy as np
import pytest
from tidegate.runtime.arrays import Floats
from tidegate.runtime.errors import ModelError
from tidegate.runtime.live.health import IN_A_ROW, WINDOW, Learner, Profile, Watcher
from tools.live import frames, small_model

MODEL = small_model()


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
    loud = warnings(PROFILE, 10 * frames(2000, seed=1))
    quiet = warnings(PROFILE, (frames(2000, seed=1) / 10).astype(np.float32))

    assert "health: spread of the inputs" in loud
    assert "health: spread of the inputs" in quiet
    said = re.fullmatch(r"health: spread of the inputs is (.*), healthy is .*", loud["health: spread of the inputs"])
    assert said is not None
    assert float(said[1]) == pytest.approx(10, rel=0.1)


def test_a_state_that_grew_is_a_warning_by_name() -> None:
    found: dict[str, str] = {}
    watcher, stream = Watcher(PROFILE, found.__setitem__), MODEL.stream()
    for chunk in frames(1000, seed=1).reshape(-1, 50, 3):
        stream.set_state({"lstm0.c_in": np.full((1, 1, 5), 50, np.float32)})
        watcher.take(chunk, stream)

    assert set(found) >= {"health: norm of lstm0.c_in", "health: saturated share of lstm0.c_in"}


def test_a_constant_input_is_a_warning() -> None:
    assert "health: level of the inputs" in warnings(PROFILE, np.full((2000, 3), 3, np.float32))


def test_a_short_disturbance_is_none() -> None:
    x = frames(5000, seed=2)
    x[1000 : 1000 + (IN_A_ROW - 1) * WINDOW] *= 10

    assert warnings(PROFILE, x) == {}


def test_mean_and_spread_are_those_of_all_frames() -> None:
    x = frames(1000, seed=3) * [1, 2, 3] + [5, 0, -1]
    profile = learned(x.astype(np.float32))

    assert profile.mean == pytest.approx(x.mean(0), abs=1e-4)
    assert profile.spread == pytest.approx(x.std(0), rel=1e-4)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "1", json.dumps({"mean": ["x"], "spread": [], "ranges": {}}), "[" * 100_000]
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="not a profile of health; write one with `tidegate live --learn-health FILE`"):
        Profile.from_json(text)


def test_a_profile_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match="1 means and 0 spreads; learn it again"):
        Profile.from_json(json.dumps({"mean": [1], "spread": [], "ranges": {}}))
    with pytest.raises(ModelError, match="is of 3 input values, the model has 4; learn it again"):
        Watcher(PROFILE, lambda *_: None).take(frames(1, 4), MODEL.stream())
    with pytest.raises(ModelError, match="a profile of health needs at least 100 frames, 0 came"):
        Learner().profile()
