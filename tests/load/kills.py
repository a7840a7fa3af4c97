"""Servers under load are killed with `kill -9`, one after the other: no stream is lost, and no answer differs.

    python tests/load/kills.py [--kills 50] [--streams 200] [--period 0.1] [--seed 0]

(`make kills`). Two servers share a store. The streams are at one; it is killed at a random moment, and their clients go
on at the other, which was waiting. A new one takes the place of the lost one. All streams live through all kills. At
the end every answer is compared with the stream by itself. The exit status is 1 if a stream was lost, an answer
differs, or a first answer after a kill came later than 3 seconds.
"""

import argparse
import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from load.node import Node, node
from load.traffic import frames_of, write_plan
from tidegate.client import AsyncStream
from tidegate.runtime.errors import ServerError
from tidegate.runtime.load import load
from tools.processors import header

MOST_WAIT = 3.0  # seconds from a kill to the first answer
FRAMES = 10  # of a chunk
PATIENCE = 60.0  # seconds after which a stream counts as lost


@dataclass
class Campaign:
    """Streams that live through kills.

    Attributes:
        plan: The model.
        streams: How many streams.
        kills: How many servers are killed.
        period: Seconds from one chunk of a stream to its next.
        rng: Draws the moments.
        waits: Seconds from a kill to a stream's first answer from the other server, kill by kill.
        lost: Why streams were lost.
        answered: Chunks of each stream that were answered.
    """

    plan: Path
    streams: int
    kills: int
    period: float
    rng: np.random.Generator
    waits: list[list[float]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    _hashes: list[bytes] = field(default_factory=list)
    _wanted: dict[int, float] = field(default_factory=dict)  # when the server of a stream was killed
    _home: str = ""  # the address that streams go on at
    _over: bool = False

    async def run(self, folder: Path) -> None:
        """Start the servers and the streams, kill, and end the streams."""
        options = ("--store", folder / "store")
        self.answered, self._hashes = [0] * self.streams, [b""] * self.streams
        with ExitStack() as stack:
            nodes = [stack.enter_context(node(self.plan, *options, doors={"ws": 0})) for _ in range(2)]
            addresses = [f"ws://127.0.0.1:{one.ports['ws']}/A" for one in nodes]
            tasks = [asyncio.create_task(self._stream(n, addresses)) for n in range(self.streams)]
            for kill in range(self.kills):
                here = kill % 2
                if kill:
                    started = node(self.plan, *options, doors=nodes[1 - here].ports)
                    nodes[1 - here] = await asyncio.to_thread(stack.enter_context, started)
                await asyncio.sleep(self.rng.uniform(0.0, 20 * self.period))
                await self._kill(nodes[here], addresses[1 - here])
                last = max(self.waits[-1], default=PATIENCE)
                print(f"kill {kill + 1}: all streams go on after {last:.2f} s", flush=True)
            self._over = True
            await asyncio.gather(*tasks)

    async def _kill(self, server: Node, other: str) -> None:
        self._home = other
        self.waits.append([])
        server.process.kill()
        killed = time.monotonic()
        self._wanted = dict.fromkeys(range(self.streams), killed)
        while self._wanted and time.monotonic() - killed < PATIENCE:
            await asyncio.sleep(self.period / 10)

    async def _stream(self, number: int, addresses: Sequence[str]) -> None:
        found = hashlib.blake2b()
        try:
            async with AsyncStream(addresses, patience=PATIENCE) as stream:
                began = time.monotonic() + self.period * number / self.streams
                while not self._over:
                    first = FRAMES * self.answered[number]
                    answers = await stream.push(frames_of(number, first, FRAMES))
                    assert isinstance(answers, np.ndarray)
                    found.update(answers.tobytes())
                    self.answered[number] += 1
                    if stream._patience.address == self._home and number in self._wanted:
                        self.waits[-1].append(time.monotonic() - self._wanted.pop(number))
                    await asyncio.sleep(began + self.period * self.answered[number] - time.monotonic())
                await stream.finish()
        except ServerError as error:
            self.lost.append(f"stream {number}: {error}")
            self._wanted.pop(number, None)
        self._hashes[number] = found.digest()

    def different(self) -> int:
        """Return how many streams had other answers than by themselves."""
        model, count = load(self.plan), 0
        for number, chunks in enumerate(self.answered):
            answers = model.stream().push(frames_of(number, 0, FRAMES * chunks))
            count += hashlib.blake2b(answers.tobytes()).digest() != self._hashes[number]
        return count

    def report(self) -> tuple[str, bool]:
        """Return what happened, and whether everything is as it must be."""
        different, waits = self.different(), sorted(wait for kill in self.waits for wait in kill)
        missing = self.kills * self.streams - len(waits)
        good = not (different or self.lost or missing) and waits[-1] <= MOST_WAIT
        text = (
            f"{self.kills} kills, {self.streams} streams, {sum(self.answered)} answers: {different} streams differ, "
            f"{len(self.lost)} lost, {missing} had no answer after a kill; first answer after "
            f"{waits[len(waits) // 2]:.2f} s (median), {waits[-1]:.2f} s (last)"
        )
        return "\n".join([*self.lost[:5], f"{text}: {'pass' if good else 'short'}"]), good


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--period", type=float, default=0.1, help="seconds from one chunk of a stream to its next")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments of the kills")
    options = parser.parse_args(arguments)
    print(*header(), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "A.tide"
        write_plan(plan)
        rng = np.random.default_rng(options.seed)
        campaign = Campaign(plan, options.streams, options.kills, options.period, rng)
        asyncio.run(campaign.run(Path(folder)))
        text, good = campaign.report()
    print(text)
    sys.exit(not good)


if __name__ == "__main__":
    main()
