"""Random programs and streams: every variant gives the bits of the specification, here and on emulated processors.

    python tests/soak/soak.py --cases 100000 --emulated 10000 [--first SEED]

(`make soak`). A case is a seed: a program of any operators and a stream, which the specification answers once. The
program `replay` then pushes the stream through every variant, whole and in pieces of 1, 7, 16 and 17 frames. Each
batch that was equal gets a line; a run that was stopped goes on with `--first`. A case whose stream leaves the range
has no answers and is counted as refused. Another release of hypothesis draws other programs from a seed.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from kernels.building import build, require  # noqa: E402
from tidegate.runtime.errors import ChunkError  # noqa: E402
from tidegate.runtime.program import Program  # noqa: E402
from tools.random_programs import programs  # noqa: E402
from tools.streams import frames_for  # noqa: E402
from vectors.generate import write_case  # noqa: E402

BATCH = 100  # cases that one start of an emulator replays
MOST_FRAMES = 40
CHOICES = 8192  # bytes that a program is drawn from; few need more
# Emulated processors that between them run every variant of their architecture.
EMULATED = {
    "aarch64-linux-gnu-gcc": ("qemu-aarch64", "-cpu", "neoverse-n1"),
    "arm-linux-gnueabihf-gcc": ("qemu-arm", "-cpu", "cortex-a7"),
}
FLAGS = {"arm-linux-gnueabihf-gcc": ("-mcpu=cortex-a7", "-mfpu=neon")}


def drawn(seed: int) -> tuple[Program, int] | None:
    """Return the program of a seed and the number of its frames; None if it needs more choices than there are."""
    found: list[tuple[Program, int]] = []

    @settings(database=None)
    @given(program=programs(), count=st.integers(1, MOST_FRAMES))
    def case(program: Program, count: int) -> None:
        found.append((program, count))

    test: Any = case
    test.hypothesis.fuzz_one_input(np.random.default_rng(seed).bytes(CHOICES))
    return found[0] if found else None


def write(folder: Path, seed: int) -> Path | None:
    """Write the plan, the frames and the answers of a case; None if it has no answers."""
    case = drawn(seed)
    if case is None:
        return None
    program, count = case
    stem = folder / str(seed)
    try:
        write_case(stem, program, frames_for(program, np.random.default_rng(seed), count))
    except ChunkError:
        return None
    return stem


def replay(command: Sequence[str | Path], stems: Sequence[Path]) -> str:
    """Replay cases; return what differs, or nothing."""
    done = subprocess.run([*map(str, command), *map(str, stems)], capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"exit status {done.returncode}" if done.returncode else ""


def soak(command: Sequence[str | Path], first: int, cases: int) -> int:
    """Run the cases first, first + 1, ...; return how many were refused.

    Raises:
        SystemExit: A case differs.
    """
    refused = 0
    for start in range(first, first + cases, BATCH):
        seeds = range(start, min(start + BATCH, first + cases))
        with tempfile.TemporaryDirectory() as folder:
            stems = [stem for seed in seeds if (stem := write(Path(folder), seed))]
            if stems and (differs := replay(command, stems)):
                sys.exit(f"soak: {differs}\nto see it again: soak.py --first SEED --cases 1, with the seed above")
        refused += len(seeds) - len(stems)
        print(f"{command[0]}: {seeds[0]} to {seeds[-1]} equal, {refused} refused so far", flush=True)
    return refused


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", type=int, default=100_000, help="cases on this processor")
    parser.add_argument("--emulated", type=int, default=10_000, help="cases on each emulated processor")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.cases:
            programs_here = build(Path(folder) / "here", "cc")
            soak([programs_here / "replay"], options.first, options.cases)
        for compiler, emulator in EMULATED.items() if options.emulated else ():
            programs_there = build(Path(folder) / compiler, compiler, "-static", *FLAGS.get(compiler, ()))
            command: list[str | Path] = [require(emulator[0]), *emulator[1:], programs_there / "replay"]
            soak(command, options.first, options.emulated)


if __name__ == "__main__":
    main()
