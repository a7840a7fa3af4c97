"""Help for tests of the server: small models, clients of an engine, and the answers that their streams give alone."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.arrays import Array, Floats
from tidegate.runtime.load import load
from tidegate.runtime.operators import Elementwise
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.program import Program, Reading
from tidegate.runtime.serving.requests import Limits, Reply, Request
from tidegate.runtime.serving.served_model import ServedModel
from tidegate.runtime.serving.server import Server
from tidegate.runtime.serving.stores.store import Claim, StoreError
from tools.random_layers import embedding, gru, lstm
from tools.streams import contract_of

FEATURES, WIDTH = 6, 3
HELLO: dict[str, Any] = {  # the first message of a server
    "tidegate": 1,
    "type": "float32",
    "shape": [3],
    "signals": [],
    "outputs": [{"name": "y", "shape": [2], "timed": True}],
    "durable": True,
    "limits": {"frames": 4},
}


@cache
def small_plan(seed: int = 0) -> bytes:
    """An LSTM and a GRU, 6 -> 3; 1e18 in a chunk leaves the range inside."""
    rng = np.random.default_rng(seed)
    ops = (
        lstm(rng, 0, (FEATURES, 5), Reading.FRAME, 16),
        gru(rng, 1, (5, WIDTH), Reading.HIDDEN, 16),
        Elementwise((0,), "mul", np.full(FEATURES, 1e6, np.float32)),
    )
    program = Program(FEATURES, ops, (("y", 2),))
    return compile_program(program, contract_of(program))


@cache
def overflowing_plan() -> bytes:
    """Two outputs; the second is a gain that takes 1e18 out of range."""
    rng = np.random.default_rng(0)
    ops = (
        lstm(rng, 0, (FEATURES, 5), Reading.FRAME, 16),
        Elementwise((0,), "mul", np.full(FEATURES, 1e6, np.float32)),
    )
    program = Program(FEATURES, ops, (("y", 1), ("gain", 2)))
    return compile_program(program, contract_of(program))


@cache
def ids_plan() -> bytes:
    """A table of nine ids and an LSTM."""
    program = embedding(np.random.default_rng(0).standard_normal((9, 4)).astype(np.float32))
    return compile_program(program, contract_of(program))


def small_model(name: str = "small") -> ServedModel:
    """Return the small model as a server holds it."""
    return ServedModel.of(small_plan(), name)


def signal(frames: int, seed: int = 1) -> Floats:
    """Return frames for the small model."""
    return np.random.default_rng(seed).standard_normal((frames, FEATURES)).astype(np.float32)


def alone(frames: Floats, plan: bytes | None = None) -> bytes:
    """Return the answers to a whole signal, from a stream by itself."""
    return bytes(load(plan or small_plan()).stream().push(frames).tobytes())


@dataclass
class Client:
    """Makes requests, and keeps the replies."""

    owner: str = ""
    name: str = "s"
    replies: list[Reply] = field(default_factory=list)

    def request(self, chunk: Array | None = None, **fields: object) -> Request:
        """Return a request; without a chunk one of no frames."""
        count = 0 if chunk is None else len(chunk)
        payload = b"" if chunk is None else chunk.tobytes()
        made = Request(self.owner, self.name, self.take, frames=count, payload=payload)
        for key, value in fields.items():
            setattr(made, key, value)
        return made

    def take(self, _request: Request, reply: Reply) -> None:
        """Keep a reply."""
        self.replies.append(reply)

    @property
    def answers(self) -> bytes:
        """All answers, joined."""
        return b"".join(reply.payload for reply in self.replies)

    @property
    def last(self) -> Reply:
        """The newest reply."""
        return self.replies[-1]

    @property
    def refusals(self) -> Sequence[str]:
        """Why requests were refused, in order; empty for answers."""
        return [reply.refused.why.name if reply.refused else "" for reply in self.replies]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class MemoryStore:
    """A store in this process.

    Attributes:
        records: Epoch and record of each stream.
        purged: The calls of `purge`.
        broken: Whether it does not answer.
    """

    def __init__(self) -> None:
        self.records: dict[str, tuple[int, bytes]] = {}
        self.purged: list[float] = []
        self.broken = False

    def claim(self, key: str, *, fresh: bool) -> Claim | None:
        """Become the owner of a stream."""
        self._check()
        before, record = self.records.get(key, (0, b""))
        if not (fresh or before):
            return None
        self.records[key] = (before + 1, b"" if fresh else record)
        return Claim(before + 1, before, self.records[key][1])

    def put(self, key: str, epoch: int, record: bytes) -> bool:
        """Store a record."""
        self._check()
        if self.records.get(key, (0, b""))[0] != epoch:
            return False
        self.records[key] = (epoch, record)
        return True

    def drop(self, key: str, epoch: int) -> None:
        """Forget a stream."""
        self._check()
        if self.records.get(key, (0, b""))[0] == epoch:
            del self.records[key]

    def purge(self, seconds: float) -> int:
        """Note the call."""
        self.purged.append(seconds)
        return 0

    def _check(self) -> None:
        if self.broken:
            raise StoreError("no disk")


def opened_door(process: subprocess.Popen[str]) -> tuple[str, int]:
    """Return the name and the port of the next door that a `tidegate serve` opens.

    Raises:
        RuntimeError: It did not start.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    door, _, port = line.partition(" is open on port ")
    if not port:
        raise RuntimeError(f"the server did not start: {line!r}")
    return door, int(port)


@contextmanager
def served(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `tidegate serve` with a websocket door in a process of its own; give the process, and the door's port."""
    command = [sys.executable, "-m", "tidegate", "serve", *map(str, arguments), "--ws", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, opened_door(process)[1]
        finally:
            process.kill()


def visit(served: ServedModel, door: str, call: Callable[[int, Server], None], **limits: object) -> None:
    """Open a server with one door of a model in this thread, and let a function call it at its port from another."""

    async def run() -> None:

        server = Server([served], Limits(**{"streams": 16, **limits}))  # type: ignore[arg-type]
        try:
            port = await getattr(server, f"open_{door}")(("127.0.0.1", 0))
            await asyncio.wait_for(asyncio.to_thread(call, port, server), 60)
        finally:
            await server.drain()

    asyncio.run(run())


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of 127.0.0.1 and its key, and return their paths; without openssl the test is skipped."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tidegate"
    wanted = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command.split(), *wanted], check=True, capture_output=True)
    return made, key
