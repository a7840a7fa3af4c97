"""The load of a measurement: who sends which frames when, what the answers must be, and when they came.

An open loop: chunk k of a stream is due at a time that the schedule says, whatever became of the chunks before. The
latency of an answer counts from the due time, so a server that falls behind cannot slow the load down.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tidegate.benchmarks.nets.stacks import CASES, random_layers, save_model
from tidegate.quant.quantize import quantize
from tidegate.runtime.arrays import Floats
from tidegate.runtime.load import compile_model, load

CASE = CASES["A"]
TABLE = 10_007  # different frames; a prime, so that streams meet each of them at other places of their chunks
BREATH = 16  # chunks that are sent late before answers are read in between


def write_plan(path: Path) -> None:
    """Write the plan of model A in W8A16, the default precision."""
    floats, file = path.with_suffix(".float.onnx"), path.with_suffix(".onnx")
    save_model(random_layers(CASE), floats)
    quantize(floats, file)
    compile_model(file, path)


@cache
def _table() -> Floats:
    return np.random.default_rng(1).standard_normal((TABLE, CASE.features), np.float32)


def frames_of(stream: int, first: int, count: int) -> Floats:
    """Return frames of a stream, which never ends; each walks the table from a place of its own."""
    return _table().take(range(stream * 37 + first, stream * 37 + first + count), 0, mode="wrap")


@dataclass(frozen=True)
class Traffic:
    """Streams of model A that send at a steady rate.

    Attributes:
        streams: Their number; stream n is called `s<n>`, and n is its sequence_id less one.
        chunks: Chunks of each.
        frames: Frames of a chunk.
        period: Seconds from one chunk of a stream to its next.
    """

    streams: int
    chunks: int
    frames: int = 10
    period: float = 0.1

    def chunk(self, stream: int, chunk: int) -> bytes:
        """Return the bytes of a chunk."""
        return frames_of(stream, chunk * self.frames, self.frames).tobytes()

    def due(self, stream: int, chunk: int) -> float:
        """Return when a chunk is due, in seconds from the start; streams are evenly apart."""
        return (chunk + stream / self.streams) * self.period

    def schedule(self) -> Iterator[tuple[int, int]]:
        """Give stream and chunk of all chunks, in the order in which they are due."""
        return ((stream, chunk) for chunk in range(self.chunks) for stream in range(self.streams))

    def hashes(self, plan: Path) -> list[bytes]:
        """Return the hash of each stream's answers, from a stream by itself."""
        model, count = load(plan), self.chunks * self.frames
        signals = (frames_of(n, 0, count) for n in range(self.streams))
        return [hashlib.blake2b(model.stream().push(signal).tobytes()).digest() for signal in signals]


class Record:
    """What came back.

    Args:
        traffic: The load.

    Attributes:
        latency: Seconds from due to answered, `[streams, chunks]`; NaN: no answer.
        late: Seconds from due to sent: the generator's own delay, which is part of the latency.
        refused: What the server said instead of answers.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.latency = np.full((traffic.streams, traffic.chunks), np.nan)
        self.late = np.full((traffic.streams, traffic.chunks), np.nan)
        self.refused: list[str] = []
        self._start = 0.0
        self._answered = [0] * traffic.streams
        self._missing = traffic.streams * traffic.chunks
        self._hashes = [hashlib.blake2b() for _ in range(traffic.streams)]
        self._all = asyncio.Event()

    def answered(self, stream: int, payload: bytes | memoryview) -> None:
        """Take the next answer of a stream."""
        chunk = self._answered[stream]
        self._answered[stream] = chunk + 1
        self.latency[stream, chunk] = time.perf_counter() - self._start - self.traffic.due(stream, chunk)
        self._hashes[stream].update(payload)
        self._missing -= 1
        if not self._missing:
            self._all.set()

    def refuse(self, text: str) -> None:
        """Note a refusal: the measurement has failed."""
        self.refused.append(text)
        self._all.set()

    async def offer(self, send: Callable[[int, int], None], patience: float = 10.0) -> None:
        """Send every chunk when it is due, and wait for the answers, some seconds after the last chunk."""
        self._start, behind = time.perf_counter(), 0
        for stream, chunk in self.traffic.schedule():
            due = self.traffic.due(stream, chunk)
            wait = due - (time.perf_counter() - self._start)
            behind = 0 if wait > 0 else behind + 1
            if wait > 0 or behind % BREATH == 0:
                await asyncio.sleep(max(wait, 0))
            self.late[stream, chunk] = time.perf_counter() - self._start - due
            send(stream, chunk)
        try:
            await asyncio.wait_for(self._all.wait(), patience)
        except TimeoutError:
            self.refused.append(f"{self._missing} chunks had no answer {patience:g} seconds after the last was due")

    def different(self, hashes: list[bytes]) -> int:
        """Return how many streams had other answers than by themselves."""
        return sum(mine.digest() != alone for mine, alone in zip(self._hashes, hashes, strict=True))
