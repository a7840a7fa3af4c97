"""Streams at a steady rate through each door of `tidegate serve`: latency, CPU time, and whether every bit is right.

    python tests/load/bench.py [--seconds 20] [--door ws --streams 500]

(`make serve-bench`). Model A (LSTM 40 -> 128, W8A16), 10 frames a chunk, 10 chunks a second of each stream, each over a
connection of its own. Latency counts from when a chunk was due. Every stream's answers must have the hash of the stream
by itself. A must is met by less than 100 ms at the 99th percentile, and at the websocket door by at most 60 us of CPU
time a chunk besides the engine's. The exit status is 1 if one is not.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from load.grpc_clients import GrpcClients
from load.http_clients import HttpClients
from load.node import Node, node
from load.traffic import Record, Traffic, write_plan
from load.websocket_clients import WebsocketClients
from tools.processors import header

MOST_LATENCY = 0.1  # seconds, at the 99th percentile
MOST_DOOR = 60.0  # microseconds of CPU time a chunk at the websocket door, besides the engine's
# Door, streams, and whether this row is a must; the others say how far a door goes.
ROWS = (("ws", 500, True), ("ws", 1000, False), ("grpc", 150, True), ("grpc", 250, False), ("http", 150, False))


class Clients(Protocol):
    """Clients of a door."""

    async def open(self, port: int) -> None:
        """Connect all clients."""

    def send(self, stream: int, chunk: int) -> None:
        """Send a chunk."""

    async def close(self) -> None:
        """Close all connections."""


CLIENTS: dict[str, Any] = {"ws": WebsocketClients, "grpc": GrpcClients, "http": HttpClients}


@dataclass(frozen=True)
class Row:
    """What was measured at a door.

    Attributes:
        door: The door.
        streams: The streams.
        p50: Seconds from due to answered, at the median; `p99` and `p999` alike.
        late: Seconds from due to sent, at the 99th percentile.
        engine: Microseconds of CPU time a chunk in the engine.
        besides: Those of the rest of the server.
        client: Those of the load generator.
        rows: Chunks that shared a push.
        different: Streams whose answers differ from those by themselves.
        refused: What went wrong.
    """

    door: str
    streams: int
    p50: float
    p99: float
    p999: float
    late: float
    engine: float
    besides: float
    client: float
    rows: float
    different: int
    refused: Sequence[str]

    @property
    def short(self) -> str:
        """What misses the goal; empty if nothing does."""
        missed = [*self.refused[:1]]
        if self.different:
            missed.append(f"{self.different} streams differ")
        if not self.p99 < MOST_LATENCY:
            missed.append(f"p99 {1e3 * self.p99:.0f} ms")
        if self.door == "ws" and self.besides > MOST_DOOR:
            missed.append(f"{self.besides:.0f} us besides the engine")
        return ", ".join(missed)

    def __str__(self) -> str:
        times = " / ".join(f"{1e3 * time:.1f}" for time in (self.p50, self.p99, self.p999))
        cpu = f"{self.engine:.1f} + {self.besides:.1f}"
        return (
            f"{self.door:>5} {self.streams:>7} {times:>22} {cpu:>14} {self.client:>7.1f} {1e3 * self.late:>7.1f} "
            f"{self.rows:>6.1f}   "
        )


HEADER = (
    f"{'door':>5} {'streams':>7} {'p50 / p99 / p99.9 ms':>22} {'CPU us a chunk':>14} {'client':>7} {'late ms':>7} "
    f"{'a push':>6}   (engine + the rest; late: p99 of the client's own delay)"
)


async def measure(plan: Path, server: Node, door: str, traffic: Traffic) -> Row:
    """Offer the load at a door of a server that holds the plan."""
    hashes, record = traffic.hashes(plan), Record(traffic)
    clients: Clients = CLIENTS[door](record)
    await clients.open(server.ports[door])
    before, cpu, own = server.counters(), server.cpu(), time.process_time()
    await record.offer(clients.send)
    own, cpu = time.process_time() - own, server.cpu() - cpu
    after = server.counters()
    await clients.close()
    spent = {name: after[name] - before[name] for name in ("chunks", "pushes", "cpu_seconds")}
    chunks = max(spent["chunks"], 1)
    p50, p99, p999 = (float(np.nanpercentile(record.latency, share)) for share in (50, 99, 99.9))
    return Row(
        door,
        traffic.streams,
        p50,
        p99,
        p999,
        late=float(np.nanpercentile(record.late, 99)),
        engine=1e6 * spent["cpu_seconds"] / chunks,
        besides=1e6 * (cpu - spent["cpu_seconds"]) / chunks,
        client=1e6 * own / chunks,
        rows=chunks / max(spent["pushes"], 1),
        different=record.different(hashes),
        refused=record.refused,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each load lasts")
    parser.add_argument("--door", choices=CLIENTS, help="only this door")
    parser.add_argument("--streams", type=int, help="so many streams there")
    options = parser.parse_args(arguments)
    rows: Sequence[tuple[str, int, bool]] = [row for row in ROWS if options.door in (None, row[0])]
    if options.streams:
        rows = [(door, options.streams, True) for door in dict.fromkeys(door for door, _, _ in rows)]
    print(*header(), HEADER, sep="\n", flush=True)
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "A.tide"
        write_plan(plan)
        # One loop for all rows: gRPC's threads go on to call the loop that they began with.
        with node(plan, doors=dict.fromkeys(CLIENTS, 0)) as server, asyncio.Runner() as runner:
            for door, streams, must in rows:
                row = runner.run(measure(plan, server, door, Traffic(streams, round(10 * options.seconds))))
                missed |= must and bool(row.short)
                goal = "must" if must else "more"
                print(row, f"{goal}: short, {row.short}" if row.short else f"{goal}: pass", flush=True)
    sys.exit(missed)


if __name__ == "__main__":
    main()
