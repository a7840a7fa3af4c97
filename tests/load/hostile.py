"""Hostile requests at a door of `tidegate serve`, and a neighbour whose every bit is compared meanwhile.

    python tests/load/hostile.py [--door ws] [--requests 1000000] [--first 0]

(`make hostile`). A case is a number: a connection that sends some requests, wrong in ways that are drawn from the
number. Some connections stop in the middle of a request and go on later, or never, and read nothing meanwhile; some
send one request a thousand times at once. The server must stay, write no traceback, answer the neighbour, and not
grow. A run that was stopped goes on with `--first`. The exit status is 1 if one of these does not hold.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
import numpy as np
from load.hostile_requests import SENT, grpc_message
from load.node import Node, node
from load.traffic import frames_of, write_plan
from tidegate.client import AsyncStream
from tidegate.runtime.load import load
from tidegate.runtime.serving.doors.oip_messages import SERVICE
from tools.processors import header

WORKERS = 8  # connections that send at the same time
OPEN = 40  # connections that stopped in the middle of a request
PATIENCE = 20.0  # seconds in which the server closes a connection whose client has sent everything
MOST_GROWTH = 2**24  # bytes from a fifth of the requests to the end
CALLS = 20  # of a case of fuzzed protobuf


@dataclass
class Hostile:
    """An attack on a server.

    Attributes:
        server: The server.
        door: Its door that is attacked.
        plan: The model.
        sent: Requests that were sent.
        case: The number of the next case.
        hung: Connections that the server did not close in time.
        compared: Chunks of the neighbour that were right.
        memory: The resident memory of the server after each tenth of the requests.
        wrong: What happened that must not.
    """

    server: Node
    door: str
    plan: Path
    case: int = 0
    sent: int = 0
    hung: int = 0
    compared: int = 0
    memory: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _open: deque[tuple[asyncio.StreamWriter, bytes]] = field(default_factory=deque)
    _over: bool = False

    async def run(self, requests: int) -> None:
        """Send so many requests."""
        neighbour, cases = asyncio.create_task(self._neighbour()), itertools.count(self.case)
        for tenth in range(1, 11):
            await asyncio.gather(*(self._work(cases, requests * tenth // 10) for _ in range(WORKERS)))
            self.memory.append(self.server.memory())
            text = f"{self.door}: {self.sent} requests, {self.memory[-1] >> 20} MiB, {self.compared} chunks compared"
            print(f"{text}; go on with --first {self.case}", flush=True)
        for writer, rest in self._open:
            await self._go_on(writer, rest, gone=True)
        self._over = True
        await neighbour
        if self.memory[-1] - self.memory[1] > MOST_GROWTH:
            self.wrong.append(f"memory grew from {self.memory[1] >> 20} to {self.memory[-1] >> 20} MiB")
        if self.server.process.poll() is not None:
            self.wrong.append(f"the server ended with status {self.server.process.returncode}")

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
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.ports[self.door])
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
                async with asyncio.timeout(PATIENCE):
                    while await reader.read(2**16):
                        pass
            except TimeoutError:
                self.hung += 1
        await self._go_on(writer, b"", gone=True)

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
            messages = [grpc_message(rng) for _ in range(CALLS)]
            if rng.random() < 0.5:
                await self._streamed(channel, messages)
                return
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            for one in messages:
                with suppress(grpc.RpcError):
                    await infer(one, timeout=PATIENCE)

    async def _streamed(self, channel: Any, messages: list[bytes]) -> None:  # noqa: ANN401  grpc has no types
        call = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")(iter(messages), timeout=PATIENCE)
        with suppress(grpc.RpcError, asyncio.CancelledError):
            async for _ in call:
                pass


def attack(plan: Path, door: str, requests: int, first: int = 0) -> Hostile:
    """Start a server, attack a door of it, and return what happened.

    Args:
        plan: The model.
        door: ws, http or grpc.
        requests: How many requests to send.
        first: The number of the first case.
    """
    errors = plan.with_name(f"{door}.log")
    with errors.open("w") as file, node(plan, doors={"ws": 0, door: 0}, stderr=file) as server:
        hostile = Hostile(server, door, plan, first)
        asyncio.run(hostile.run(requests))
    if "Traceback" in (text := errors.read_text()):
        hostile.wrong.append(f"the server wrote {text.count('Traceback')} tracebacks, the first: {text[:3000]}")
    return hostile


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--door", choices=SENT, action="append", help="only this door; may come again")
    parser.add_argument("--requests", type=int, default=1_000_000, help="at each door")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    options = parser.parse_args(arguments)
    print(*header(), sep="\n", flush=True)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "A.tide"
        write_plan(plan)
        for door in options.door or SENT:
            found = attack(plan, door, options.requests, options.first)
            print(f"{door}: {found.sent} requests, {found.compared} chunks of the neighbour equal, {found.hung} hung")
            print(*found.wrong, "short" if found.wrong else "pass", sep="\n", flush=True)
            good &= not found.wrong
    sys.exit(not good)


if __name__ == "__main__":
    main()
