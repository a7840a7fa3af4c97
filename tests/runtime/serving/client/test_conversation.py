"""How a client gets a chunk answered by servers that come and go: without a network, with the real engines."""

import json

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError, ServerError
from tidegate.runtime.serving import wire
from tidegate.runtime.serving.client.conversation import Connect, Conversation, Exchange, LostError, Pause, converse
from tidegate.runtime.serving.client.patience import Patience
from tidegate.runtime.serving.client.session import Session
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.keeper import Keeper
from tidegate.runtime.serving.keeping import KeepingEngine
from tidegate.runtime.serving.requests import Limits, Reply, Request
from tools.serving import Clock, MemoryStore, alone, signal, small_model


class Net:
    """Servers by their addresses, and a network that loses what a test says.

    Attributes:
        steps: Everything that was done.
        losing: How many exchanges from now on lose their reply.
    """

    def __init__(self, *addresses: str, store: MemoryStore | None = None) -> None:
        self.store = store
        self.engines: dict[str, Engine] = {}
        self.steps: list[str] = []
        for address in addresses:
            self.restart(address)
        self.address, self.losing, self.clock = "", 0, Clock()

    def restart(self, address: str) -> None:
        """Kill a server, and start another there."""
        limits = Limits(streams=4, every=8)
        if self.store is None:
            self.engines[address] = Engine(small_model(), limits)
        else:
            self.engines[address] = KeepingEngine(small_model(), Keeper(self.store), limits)

    def run(self, conversation: Conversation) -> None:
        try:
            step = next(conversation)
            while True:
                self.steps.append(type(step).__name__)
                try:
                    result = self._do(step)
                except LostError as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(result)
        except StopIteration:
            return

    def _do(self, step: Connect | Exchange | Pause) -> bytes | str:
        if isinstance(step, Connect):
            self.address = step.address
            engine = self._engine()
            limits = {"frames": engine.limits.frames}
            return json.dumps({"tidegate": 1, **engine.served.describe(), "durable": engine.durable, "limits": limits})
        if isinstance(step, Pause):
            self.clock.now += step.seconds
            return b""
        replies: list[bytes] = []

        def take(request: Request, reply: Reply) -> None:
            replies.append(wire.write_reply(request.name, reply))

        engine = self._engine()
        engine.submit(wire.read_request(step.message, "", take))
        for _ in range(3):
            if isinstance(engine, KeepingEngine):
                engine._keeper.work()
                engine.collect()
            engine.tick()
        if self.losing:
            self.losing -= 1
            raise LostError("cut")
        return replies[0]

    def _engine(self) -> Engine:
        if self.address not in self.engines:
            raise LostError("refused")
        return self.engines[self.address]


def push(net: Net, session: Session, patience: Patience, frames: object) -> bytes:
    patience.begin()
    net.run(converse(session, patience, None))
    found = b""
    for part in session.parts(frames):  # type: ignore[arg-type]
        sent = session.add(part)
        net.run(converse(session, patience, sent))
        found += sent.answer or b"?"
    return found


def test_a_chunk_is_one_exchange() -> None:
    net, session = Net("a"), Session()
    patience = Patience("a", 9.0, net.clock)
    found = push(net, session, patience, signal(8)[:4]) + push(net, session, patience, signal(8)[4:])

    assert found == alone(signal(8))
    assert net.steps == ["Connect", "Exchange", "Exchange"]
    assert session.kept == 0  # nothing is kept for a server without a store


def test_a_reply_that_is_lost_is_asked_for_again() -> None:
    net, session, frames = Net("a"), Session(), signal(12)
    patience, found = Patience("a", 9.0, net.clock), b""
    for at in range(0, 12, 3):
        net.losing = 2 * (at % 2)
        found += push(net, session, patience, frames[at : at + 3])

    assert found == alone(frames)
    assert net.engines["a"].counters.frames == 12


@pytest.mark.parametrize("size", [1, 3, 8, 20])
def test_servers_that_are_killed_again_and_again_lose_nothing(size: int) -> None:
    store = MemoryStore()
    net, session, frames = Net("a", "b", store=store), Session(), signal(60)
    patience, found = Patience(["a", "b"], 9.0, net.clock), b""
    for at in range(0, 60, size):
        if at % 2:
            net.restart("a")
            net.losing = 1
        if at % 3 == 0:
            net.restart("b")
        found += push(net, session, patience, frames[at : at + size])
        assert session.kept <= 8 // size + 2

    assert found == alone(frames)


def test_a_stream_without_a_store_is_lost_with_its_server_and_the_client_says_so() -> None:
    net, session = Net("a"), Session()
    patience = Patience("a", 9.0, net.clock)
    push(net, session, patience, signal(4))
    net.restart("a")
    net.losing = 1
    message = "frame 0 next, and frames below 4 are no longer kept; serve with --store, or start another stream"
    with pytest.raises(ServerError, match=f"is lost: the server wants {message}"):
        push(net, session, patience, signal(4))
    assert push(net, Session(), patience, signal(4)) == alone(signal(4))


def test_a_chunk_that_is_refused_leaves_the_stream_as_it_was() -> None:
    net, session, frames = Net("a", store=MemoryStore()), Session(), signal(8)
    patience = Patience("a", 9.0, net.clock)
    bad = frames[4:].copy()
    bad[1, 2] = np.inf
    found = push(net, session, patience, frames[:4])
    with pytest.raises(ChunkError, match="chunk holds inf at frame 1, feature 2"):
        push(net, session, patience, bad)
    assert found + push(net, session, patience, frames[4:]) == alone(frames)


def test_a_client_gives_up_after_its_patience() -> None:
    net, session = Net(), Session()
    patience = Patience(["a", "b"], 9.0, net.clock)
    with pytest.raises(ServerError, match="no answer within 9 seconds from a, b: refused"):
        net.run(converse(session, patience, None))
    assert 9.0 < net.clock.now < 11.0


def test_a_busy_server_is_asked_again_without_another_connection() -> None:
    net, session = Net("a"), Session()
    patience = Patience("a", 9.0, net.clock)
    push(net, session, patience, signal(2))
    net.engines["a"].waiting_bytes = 2**40
    sent = session.add(session.parts(signal(3))[0])
    steps = converse(session, patience, sent)
    message = next(steps)
    assert isinstance(steps.send(net._do(message)), Pause)
    net.engines["a"].waiting_bytes = 0
    again = steps.send(b"")
    assert again == message
    with pytest.raises(StopIteration):
        steps.send(net._do(again))
