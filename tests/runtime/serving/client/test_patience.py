"""How long a client tries, and where."""

import pytest
from tidegate.runtime.errors import ServerError
from tidegate.runtime.serving.client.patience import FIRST, MOST, Patience
from tools.serving import Clock


def test_tries_go_round_and_pauses_grow_to_a_limit() -> None:
    patience = Patience(["a", "b"], 30.0, Clock())
    seen = []
    for _ in range(7):
        seen.append(patience.address)
        pause = patience.pause(OSError("refused"), elsewhere=True)
        assert FIRST / 2 <= pause <= MOST
    assert seen == ["a", "b", "a", "b", "a", "b", "a"]
    patience.pause(OSError(), elsewhere=False)
    assert patience.address == "b"
    patience.begin()
    assert patience.pause(OSError(), elsewhere=False) <= FIRST


def test_the_time_ends_with_what_was_tried() -> None:
    clock = Clock()
    patience = Patience("ws://one", 9.0, clock)
    assert patience.left == 3.0
    clock.now = 8.0
    assert patience.left == 1.0
    clock.now = 9.5
    with pytest.raises(ServerError, match="no answer within 9 seconds from ws://one: refused"):
        patience.pause(OSError("refused"), elsewhere=True)


@pytest.mark.parametrize(
    ("said", "way_out"),
    [
        ("server rejected WebSocket connection: HTTP 401", "give a token that the server knows"),
        ("server rejected WebSocket connection: HTTP 404", "end the address with a model that the server has"),
        (
            "did not receive a valid HTTP response",
            "begin the address with wss:// if the server has TLS, else with ws://",
        ),
    ],
)
def test_a_refused_connection_has_a_way_out(said: str, way_out: str) -> None:
    clock = Clock()
    patience = Patience("ws://one", 9.0, clock)
    clock.now = 9.5
    with pytest.raises(ServerError, match=rf"from ws://one: {said}; {way_out}$"):
        patience.pause(OSError(said), elsewhere=True)


def test_no_address_is_an_error() -> None:
    with pytest.raises(ServerError, match=r"there is no address of a server, wanted one or more, e.g. ws://"):
        Patience([], 1.0)


def test_the_reason_of_an_earlier_try_counts_more_than_a_last_one_without_time() -> None:
    now = [0.0]
    patience = Patience("ws://a", 5, clock=lambda: now[0])
    patience.pause(OSError("server rejected WebSocket connection: HTTP 401"), elsewhere=True)
    now[0] = 6.0
    with pytest.raises(ServerError, match=r"no answer within 5 seconds from ws://a: .*HTTP 401"):
        patience.pause(TimeoutError("timed out while waiting for handshake response"), elsewhere=True)
