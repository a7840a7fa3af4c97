"""A live stream that is too slow goes on with a cheaper model."""

import numpy as np
import pytest
from tidegate.runtime.errors import StateError
from tidegate.runtime.live.answers import Counters
from tidegate.runtime.live.live import live
from tidegate.runtime.live.sources.source import Block
from tidegate.runtime.streams import Model
from tools.live import Hand, Slow, accounted, frames, offline, run, small_model

MODEL = small_model()
X = frames(400)


def test_row_40_a_cheaper_model_goes_on_from_the_same_state_when_many_are_late() -> None:
    """The processor slows down in the middle: every push takes three times the time of its frames."""
    hand, asked = Hand(), []
    slow = Slow(MODEL, hand, lambda push: 0.06 if push > 150 else 0.001)
    cheaper = small_model(seed=1)

    def degrade(counters: Counters) -> Model:
        asked.append(counters.late)
        return cheaper

    running = run(slow, X, hand, "wait", degrade=degrade)
    found = list(running)

    assert len(asked) == 1
    assert asked[0] > 5
    assert running.counters.switched
    switch = 200  # after 50 chunks of which more than five were late
    offline(MODEL, X, found[:switch], "reset")
    stream = MODEL.stream()
    stream.push(X[:switch])
    later = cheaper.stream(stream.state()).push(X[switch:])
    assert np.array_equal(np.concatenate([answer.values for answer in found[switch:]]), later)
    accounted(running.counters, len(X))


def test_a_cheaper_model_with_other_states_is_refused_by_name() -> None:
    hand = Hand()
    other = small_model(features=4)

    class Renamed:
        def stream(self, _: object) -> object:
            raise StateError("state 'lstm0.h_in' is not one of the model")

        def __getattr__(self, name: str) -> object:
            return getattr(other, name)

    slow = Slow(MODEL, hand, lambda _: 1.0)
    with pytest.raises(StateError, match=r"the cheaper model has other states: state 'lstm0.h_in'"):
        list(run(slow, X, hand, "wait", degrade=lambda _: Renamed()))


def test_zeros_for_ages_become_a_reset_that_the_answer_states() -> None:
    """A source whose numbers jump: streaming zeros in their place would not end."""
    blocks = [Block(0, X[:8]), Block(2**62, X[8:16])]  # which come row by row: the second one agrees with the first
    found = list(live(MODEL, blocks, gap="zeros"))
    after = [answer for answer in found if answer.first > 8]
    assert after[0].first == 2**62 + 1
    assert (after[0].lost, after[0].policy) == (2**62 - 7, "reset")
    assert np.array_equal(np.concatenate([answer.values for answer in after]), MODEL.stream().push(X[9:16]))
