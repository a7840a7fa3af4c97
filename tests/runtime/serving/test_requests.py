"""Requests and limits."""

from tidegate.runtime.serving.requests import Counters, Refused, Request, Why


def test_a_stream_is_found_by_its_owner_and_its_name() -> None:
    assert Request("a", "s", lambda *_: None).key == ("a", "s")


def test_every_reason_is_counted_and_fits_a_byte() -> None:
    assert list(Counters().refused) == [why.name for why in Why]
    assert min(Why) > 0
    assert max(Why) < 256


def test_a_refusal_says_why() -> None:
    refused = Refused(Why.gap, "wants frame 4 next", 4)
    assert (refused.why, str(refused), refused.frame) == (Why.gap, "wants frame 4 next", 4)
