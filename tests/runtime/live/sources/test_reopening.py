"""A source that dies and comes back: the time between is a gap, and nothing else is lost."""

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tidegate
from tidegate.runtime.errors import ChunkError
from tidegate.runtime.live.answers import LiveAnswer
from tidegate.runtime.live.clock import Clock
from tidegate.runtime.live.sources.reopening import Reopening
from tidegate.runtime.live.sources.source import Block
from tools.live import RATE, Hand, frames, offline, small_model

MODEL = small_model()
X = frames(400)


class Lives:
    """A source with several lives: rows, and the seconds that it is away after them."""

    name, waits, comes = "lives", True, True
    rate: float | None = RATE

    def __init__(self, hand: Hand, lives: list[tuple[int, float]], *, fails: bool) -> None:
        self._hand, self._lives, self._fails = hand, lives, fails

    def blocks(self, rows: int) -> Iterator[Block]:
        if not self._lives:
            raise OSError("lives: nobody answers")
        count, away = self._lives.pop(0)
        for at in range(0, count, rows):
            self._hand.time += rows / RATE
            yield Block(at, X[:rows])
        self._hand.time += away
        if self._fails:
            raise OSError("lives: was cut")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("fails", [True, False])
def test_rows_that_come_back_are_at_their_place_by_the_clock(fails: bool) -> None:
    hand, notes = Hand(), []
    lives = Lives(hand, [(100, 3.0), (50, 0.2), (50, 0.0)], fails=fails)
    source = Reopening(lives, 5, lambda _: RATE, lambda kind, _: notes.append(kind), hand.clock())

    found: list[int] = []
    with pytest.raises(OSError, match="lives: nobody answers"):
        found.extend(block.at for block in source.blocks(10))

    second = 100 + round(3.5 * RATE)  # 3 s away, half a second until the next attempt
    third = second + 50 + round(0.7 * RATE)
    assert found == [at + i for at, count in ((0, 100), (second, 50), (third, 50)) for i in range(0, count, 10)]
    assert notes.count("back") == 2
    assert notes.count("gone") >= 3


def test_a_source_that_is_gone_too_long_ends_with_its_reason() -> None:
    hand = Hand()
    source = Reopening(Lives(hand, [(10, 0.0)], fails=True), 5, lambda _: RATE, clock=hand.clock())

    with pytest.raises(OSError, match="lives: nobody answers"):
        list(source.blocks(10))
    assert hand.time == pytest.approx(5.2)


def test_a_connection_that_is_cut_is_taken_again_and_the_answers_are_those_of_the_policy() -> None:
    notes: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for part in (X[:50], X[50:]):
                peer = server.accept()[0]
                peer.sendall(part.tobytes())
                peer.close()
            server.close()

        peer = threading.Thread(target=serve)
        peer.start()
        name = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        clock = Clock(sleep=lambda _: None)  # the next attempt comes at once
        options = {"form": "f32le", "channels": 3, "reopen": 1.0, "clock": clock, "queue": 1000}
        with tidegate.live(MODEL, name, note=lambda kind, _: notes.append(kind), **options) as running:  # type: ignore[arg-type]
            found: list[LiveAnswer] = []
            with pytest.raises(OSError, match="nobody answers there"):
                found.extend(running)
        peer.join()

    lost = sum(answer.lost for answer in found)
    assert lost >= 1
    whole = np.concatenate([X[:50], np.zeros((lost, 3), np.float32), X[50:]])
    offline(MODEL, whole, found, "reset")
    assert running.counters.answered == len(X)
    assert notes[:2] == ["gone", "back"]


def test_a_file_is_not_opened_again() -> None:
    with pytest.raises(ChunkError, match="the arrays: cannot be opened again; leave reopen out"):
        tidegate.live(MODEL, X, reopen=1.0)
