"""A day of frames through a live stream, as fast as it goes, on a clock of its own: `python day.py [FRAMES]`.

The source has faults. Each answer is compared with an offline stream that is told of the same gaps. Each frame must be
accounted for. It prints the counters and the resident memory by tenths. A day has 8,640,000 frames.
"""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from tidegate.runtime.live.running import Live
from tidegate.runtime.live.sources.source import Block
from tools.live import Hand, Slow, frames, run, small_model

DAY = 8_640_000
CHUNK = 10
TABLE = 100_003  # different frames; a prime, so that their order in chunks does not repeat soon
FAULTS = {"lost": 2e-4, "repeated": 2e-4, "swapped": 1e-4, "not finite": 2e-5, "gone for a minute": 2e-6}


@dataclass
class Faulty:
    """A source of blocks with faults, each of which is counted."""

    table: np.ndarray
    total: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))

    def frames_at(self, at: int, count: int) -> np.ndarray:
        """Return the frames as they should have come."""
        return self.table[np.arange(at, at + count) % TABLE]

    def blocks(self, size: int = 50) -> Iterator[Block]:
        """Give the blocks, with faults."""
        rng, at, kept = np.random.default_rng(7), 0, None
        while at < self.total:
            block = Block(at, self.frames_at(at, min(size, self.total - at)))
            at += len(block.rows)
            chance, fault = rng.random(), None
            for name, share in FAULTS.items():
                fault = name if fault is None and chance < share * size else fault
                chance -= share * size if fault is None else 0.0
            if fault is not None and at < self.total:
                self.counts[fault] += 1
            if fault == "gone for a minute":
                at = min(at + 6000, self.total - 1)
            elif fault == "swapped":
                kept = block
                continue
            elif fault == "not finite":
                block.rows[rng.integers(len(block.rows)), 1] = np.nan
            if fault != "lost" or at >= self.total:
                yield block
            if fault == "repeated":
                yield block
            if kept is not None:
                yield kept
                kept = None


def resident() -> int:
    """Return the resident memory of this process in KiB."""
    text = Path("/proc/self/statm").read_text()
    return int(text.split()[1]) * resource.getpagesize() // 1024


def checked(running: Live, source: Faulty, model: object) -> dict[int, int]:
    """Compare each answer with an offline stream, and return the resident memory on the way."""
    offline, memory = model.stream(), {}  # type: ignore[attr-defined]
    tenth = source.total // 10
    for answer in running:
        if answer.lost:
            offline.skip(answer.lost, answer.policy)
        wanted = offline.push(source.frames_at(answer.first, answer.frames))
        assert np.array_equal(answer.values, wanted), f"frame {answer.first} differs"
        if answer.first // tenth not in memory:
            memory[answer.first // tenth] = resident()
    return memory


def main(total: int = DAY) -> None:
    """Stream so many frames and print what happened."""
    model, hand, began = small_model(sample_rate=100), Hand(), time.monotonic()
    rng = np.random.default_rng(8)
    stalls = {
        int(push): float(rng.uniform(0.1, 30)) for push in rng.integers(0, total // CHUNK, max(total // 200_000, 1))
    }
    slow = Slow(model, hand, lambda push: stalls.get(push, 1e-4))
    source = Faulty(frames(TABLE), total)
    running = run(slow, source.blocks(), hand, "oldest", "reset", chunk=CHUNK, queue=400)

    memory = checked(running, source, model)

    found = running.counters
    assert found.next == total == found.answered + found.lost + found.dropped + found.refused
    assert found.refused > 0 or source.counts["not finite"] == 0
    print("faults", source.counts | {"stalls": len(stalls)})
    print("counters", found.as_dict())
    print("resident KiB by tenths", list(memory.values()))
    print(f"{total} frames, {hand.time:.0f} s of signal, in {time.monotonic() - began:.0f} s; every answer equal")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
