"""Hostile requests at a door of `tidegate serve`, and a neighbour whose every bit is compared meanwhile.

    python tests/load/hostile.py [--door ws] [--requests 1000000] [--seconds 600]

(`make hostile`). A case is a number: a connection that sends some requests, wrong in ways that are drawn from the
number. Some connections stop in the middle of a request and go on later, or never, and read nothing meanwhile; some
send one request a thousand times at once. The server must stay, write no traceback, answer the neighbour, and not
grow. Each leg of some thousand requests is a line of `hostile.jsonl` beside this file, and a run goes on after the last
one, until there are enough. The exit status is 1 if something is wrong.
"""

import argparse
import asyncio
import itertools
import math
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
import numpy as np
from load.hostile_ledger import Leg, grown, legs, note, total
from load.hostile_requests import SENT, grpc_messages
from load.node import Node, node
from load.traffic import frames_of, write_plan
from tidegate.client import AsyncStream
from tidegate.runtime.load import load
from tidegate.runtime.serving.doors.oip_messages import SERVICE
from tools.processors import header

WORKERS = 8  # connections that send at the same time
OPEN = 40  # connections that stopped in the middle of a request
PATIENCE = 20.0  # seconds in which the server replies, or closes a connection whose client has sent everything
MOST_GROWTH = 16  # MiB from a fifth of a server's legs to its end
LEG = 10_000  # requests of a leg
CALLS = 100  # of a case of fuzzed protobuf


@dataclass
class Hostile:
    """An attack on a server.

    Attributes:
        server: The server.
        door: Its door that is attacked.
        plan: The model.
        sent: Requests that were sent.
        case: The number of the next case.
        hung: Connections on which nothing came for too long, and which the server did not close.
        compared: Chunks of the neighbour that were right.
        legs: The legs that are over.
        wrong: What happened that must not.
    """

    server: Node
    door: str
    plan: Path
    case: int = 0
    sent: int = 0
    hung: int = 0
    compared: int = 0
    legs: list[Leg] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _open: deque[tuple[asyncio.StreamWriter, bytes]] = field(default_factory=deque)
    _over: bool = False
    _started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    async def run(self, requests: int, until: float, noted: Callable[[Leg], None]) -> None:
        """Send so many requests, leg by leg; begin none after some time by the monotonic clock."""
        neighbour = asyncio.create_task(self._neighbour())
        while self.sent < requests and not self.wrong and (not self.legs or time.monotonic() < until):
            await self._leg(min(LEG, requests - self.sent), noted)
        for writer, rest in self._open:
            await self._go_on(writer, rest, gone=True)
        self._over = True
        await neighbour
        if self.server.process.poll() is not None:
            self.wrong.append(f"the server ended with status {self.server.process.returncode}")
        elif (more := grown(self.legs, self._started)) > MOST_GROWTH:
            self.wrong.append(f"memory grew by {more} MiB to {self.legs[-1].mebibytes} MiB")

    async def _leg(self, requests: int, noted: Callable[[Leg], None]) -> None:
        """Send so many requests, and note what became of them."""
        first, sent, compared, hung = self.case, self.sent, self.compared, self.hung
        judged = await asyncio.to_thread(self.server.judged)
        cases = itertools.count(first)
        await asyncio.gather(*(self._work(cases, sent + requests) for _ in range(WORKERS)))
        if self.server.process.poll() is not None:
            return
        leg = Leg(
            self.door,
            first,
            self.case,
            self.sent - sent,
            await asyncio.to_thread(self.server.judged) - judged,
            self.compared - compared,
            self.hung - hung,
            self.server.memory() >> 20,
            self._started,
            tuple(self.wrong),
        )
        self.legs.append(leg)
        noted(leg)

    async def _neighbour(self) -> None:
        """Stream over the websocket door of the same server, and compare each answer."""
        alone = load(self.plan).stream()
        try:
            async with AsyncStream(f"ws://127.0.0.1:{self.server.ports['ws']}/A", name="neighbour-0") as stream:
                while not self._over and self.server.process.poll() is None:
                    frames = frames_of(0, 10 * self.compared, 10)
                    if not np.array_equal(await stream.push(frames), alone.push(frames)):
                        self.wrong.append(f"chunk {self.compared} of the neighbour differs")
                        return
                    self.compared += 1
                    await asyncio.sleep(0.02)
        except Exception as error:  # noqa: BLE001  whatever it is, it must not happen
            self.wrong.append(f"the neighbour: {error!r}")

    async def _work(self, cases: Iterator[int], most: int) -> None:
        while self.sent < most and not self.wrong:
            number = next(cases)
            self.case = number + 1
            rng = np.random.default_rng([len(self.door), number])
            if self.door == "grpc" and rng.random() < 0.8:
                await self._call(rng)
            else:
                await self._send(rng)

    async def _send(self, rng: np.random.Generator) -> None:
        """Send the bytes of a case over a connection of its own."""
        count, data = SENT[self.door](rng)
        self.sent += count
        reader, writer = await self._connect()
        if rng.random() < 0.05:
            at = int(rng.integers(len(data)))
            writer.write(data[:at])
            self._open.append((writer, data[at:]))
            if len(self._open) > OPEN:
                await self._go_on(*self._open.popleft(), gone=bool(rng.random() < 0.5))
            return
        with suppress(OSError):  # the server closes a connection that sends what is no request
            writer.write(data)
            writer.write_eof()
            try:
                while await asyncio.wait_for(reader.read(2**16), PATIENCE):
                    pass
            except TimeoutError:
                self.hung += 1
        await self._go_on(writer, b"", gone=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to the door, which may be closed for a moment."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", self.server.ports[self.door])
            except ConnectionError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.1)

    async def _go_on(self, writer: asyncio.StreamWriter, rest: bytes, *, gone: bool) -> None:
        """Send the rest over a connection that stopped, unless it is broken off, and close it."""
        if gone:
            writer.transport.abort()
        else:
            writer.write(rest)
        writer.close()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), PATIENCE)

    async def _call(self, rng: np.random.Generator) -> None:
        """Make calls with protobuf of any bits, in one streaming call or one by one."""
        self.sent += CALLS
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.server.ports['grpc']}") as channel:
            messages = grpc_messages(rng, CALLS)
            if rng.random() < 0.5:
                await self._streamed(channel, messages)
                return
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            await asyncio.gather(*(infer(one, timeout=PATIENCE) for one in messages), return_exceptions=True)

    async def _streamed(self, channel: Any, messages: list[bytes]) -> None:  # noqa: ANN401  grpc has no types
        call = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(iter(messages), timeout=PATIENCE)
        with suppress(grpc.RpcError, asyncio.CancelledError):
            async for _ in call:
                pass


def attack(
    plan: Path,
    door: str,
    requests: int,
    first: int = 0,
    *,
    seconds: float = math.inf,
    noted: Callable[[Leg], None] = lambda _leg: None,
) -> Hostile:
    """Start a server, attack a door of it, and return what happened.

    Args:
        plan: The model.
        door: ws, http or grpc.
        requests: How many requests to send.
        first: The number of the first case.
        seconds: After this time no leg begins.
        noted: Takes each leg when it is over.
    """
    errors, until = plan.with_name(f"{door}.log"), time.monotonic() + seconds
    with errors.open("w") as file, node(plan, doors={"ws": 0, door: 0}, stderr=file) as server:
        hostile = Hostile(server, door, plan, first)
        asyncio.run(hostile.run(requests, until, noted))
    if "Traceback" in (text := errors.read_text()):
        hostile.wrong.append(f"the server wrote {text.count('Traceback')} tracebacks, the first: {text[:3000]}")
    return hostile


def noted(leg: Leg) -> None:
    """Add a leg to the ledger, and say what all at its door have found."""
    note(leg)
    print(f"{leg.door}: {total(legs(leg.door))}; now {leg.mebibytes} MiB", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=SENT, action="append", help="only this door; may come again")
    parser.add_argument("--requests", type=int, default=1_000_000, help="at each door, with those of the ledger")
    parser.add_argument("--seconds", type=float, default=math.inf, help="at each door; the ledger keeps what was done")
    options = parser.parse_args(arguments)
    print(*header(), sep="\n", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "A.tide"
        write_plan(plan)
        for door in options.door or SENT:
            before = legs(door)
            left = options.requests - sum(leg.requests for leg in before)
            first = before[-1].beyond if before else 0
            wrong = attack(plan, door, left, first, seconds=options.seconds, noted=noted).wrong if left > 0 else []
            print(f"{door}: {total(legs(door))}", *wrong, "short" if wrong else "pass", sep="\n", flush=True)
            good &= not wrong
    sys.exit(not good)


if __name__ == "__main__":
    main()
